"""What everything stands on: errors, types, the analysis as plain data, files, settings, assets."""
