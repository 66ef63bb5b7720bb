"""Other people's model servers, as they are: installed once, run as processes, and built into images."""
