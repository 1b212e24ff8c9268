"""From probabilities to answers: calibration, votes."""
