//! Counting restarts within a sliding window of time.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::supervision::rules::Intensity;

/// The times of the restarts within the window, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Instant>);

impl Window {
    /// Counts a restart. Returns how many are in the window, or none if that is one too many.
    pub(crate) fn admit(&mut self, now: Instant, limit: Intensity) -> Option<u32> {
        while self
            .0
            .front()
            .is_some_and(|at| now.duration_since(*at) > limit.within)
        {
            self.0.pop_front();
        }
        if self.0.len() >= limit.restarts as usize {
            return None;
        }
        self.0.push_back(now);
        Some(self.0.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn window_slides() {
        let limit = Intensity {
            restarts: 2,
            within: Duration::from_secs(10),
        };
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.admit(start, limit), Some(1));
        assert_eq!(window.admit(start + Duration::from_secs(9), limit), Some(2));
        assert_eq!(window.admit(start + Duration::from_secs(10), limit), None);
        assert_eq!(
            window.admit(start + Duration::from_secs(11), limit),
            Some(2)
        );
    }
}
