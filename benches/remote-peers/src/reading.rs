//! What was measured.

/// One measurement: what [`shapes`](crate::shapes) says of its two numbers, and the greatest memory of both processes in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) values: [f64; 2],
    pub(crate) memory: [f64; 2],
}

/// What has become of a row in a shape.
#[derive(Default)]
pub(crate) struct Cell {
    pub(crate) readings: Vec<Reading>,
    pub(crate) failures: Vec<String>,
}
