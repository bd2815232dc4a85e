//! Charts, tables and picture grids for notebooks.
