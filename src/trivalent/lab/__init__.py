"""The research wing: data sets, networks, training, calibration, export. Needs the extra `train`."""
