"""The servers that modelport's is compared with, each as its own documentation shows it; run in their environments."""
