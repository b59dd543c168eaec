"""Downloads: the places where a data set may be, and the programs that fetch it."""
