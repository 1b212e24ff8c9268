"""What answers are worth: metrics, intervals, tests, result files."""
