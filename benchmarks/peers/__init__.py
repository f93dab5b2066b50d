"""Other programs, as yardsticks: each script runs in an environment of its own."""
