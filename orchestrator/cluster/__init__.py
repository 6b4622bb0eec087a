"""The only room that knows Ray: training workers, evaluation actors, and the search that joins them."""
