"""Records: what a run did, kept so that it can be read and proven afterwards."""
