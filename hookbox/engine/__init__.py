"""Moving and keeping publications, behind one interface."""
