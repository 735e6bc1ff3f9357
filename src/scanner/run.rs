//! Running a tool to its end.
