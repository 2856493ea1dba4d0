"""What the tasks in make.py do inside the project's environment."""
