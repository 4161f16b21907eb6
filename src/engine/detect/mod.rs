//! Control charts and change detectors, and their design from promises.
