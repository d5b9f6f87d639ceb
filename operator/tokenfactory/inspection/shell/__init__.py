"""Shell scripts followed over the tree of a real bash grammar. Nothing is ever executed. Pure."""
