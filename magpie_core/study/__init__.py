"""What arrives: sequences, volumes, studies and label schemas, and how they are read from files."""
