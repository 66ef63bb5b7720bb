"""Model servers as processes: started, watched, ended."""
