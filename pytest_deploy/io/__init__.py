"""Where bytes leave and enter: programs, HTTP, API servers, time; each library has one file that imports it."""
