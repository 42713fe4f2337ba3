"""What people look at: contact sheets, learning curves, tables, and the report that is passed on."""
