//! The root of an increasing function: how limits are solved for.

/// Steps after which the search ends wherever it is; it needs about six.
const MAX_STEPS: usize = 80;
/// Least and largest limit searched.
const BOUNDS: (f64, f64) = (1e-9, 1e4);

/// x > 0 with f(x) = 0 for an increasing f, near `start` where f has about this slope: bracketed from there, then
/// regula falsi that halves the weight of an end that stays (Illinois; Dowell & Jarratt 1971). The end returned has f
/// >= 0 but for rounding, so a promise is kept.
pub(super) fn increasing_root(start: f64, slope: f64, f: impl Fn(f64) -> f64) -> f64 {
    let first = (start, f(start));
    let (mut low, mut high) = (first, first);
    // A little further than a straight line says, so that mostly one step brackets.
    let mut step = (1.25 * first.1.abs() / slope).clamp(1e-6, start.max(1.0));
    while high.1 < 0.0 && high.0 < BOUNDS.1 {
        low = high;
        high = (low.0 + step, f(low.0 + step));
        step *= 2.0;
    }
    while low.1 > 0.0 && low.0 > BOUNDS.0 {
        high = low;
        let next = (high.0 - step).max(high.0 / 4.0);
        low = (next, f(next));
        step *= 2.0;
    }
    let mut side = 0;
    for _ in 0..MAX_STEPS {
        if high.1.abs() < 1e-10 || high.0 - low.0 < 1e-12 {
            break;
        }
        let middle = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let value = f(middle);
        if value < 0.0 {
            low = (middle, value);
            high.1 = if side == -1 { high.1 / 2.0 } else { high.1 };
            side = -1;
        } else {
            high = (middle, value);
            low.1 = if side == 1 { low.1 / 2.0 } else { low.1 };
            side = 1;
        }
    }
    high.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_roots_from_either_side() {
        for start in [0.1, 1.9, 2.0, 2.1, 50.0] {
            let root = increasing_root(start, 0.5, |x| x.ln() - 2.0_f64.ln());
            assert!((root - 2.0).abs() < 1e-9, "{start}: {root}");
        }
        assert!(increasing_root(1.0, 1.0, |_| -1.0) > 1e4);
        assert!(increasing_root(1.0, 1.0, |_| 1.0) <= 1e-9);
    }
}
