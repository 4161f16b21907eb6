//! The design of limits: with an empty cache, and again.

use divan::{Bencher, black_box};
use shewhart::engine::detect::design::ewma::{EwmaLimits, solve_width};
use shewhart::engine::detect::design::sr::MixtureDesign;
use shewhart::engine::detect::{DesignCache, ProportionChart, ProportionDesign};
use shewhart::engine::units::Counts;

use super::charts::{ARL0, DELTA, P0, values};

/// Solves a limit with an empty cache every time.
fn cold<T>(bencher: Bencher<'_, '_>, mut solve: impl FnMut(&mut DesignCache) -> T) {
    bencher.with_inputs(DesignCache::new).bench_local_values(|mut cache| solve(&mut cache));
}

/// Looks the same limit up again.
fn cached<T>(bencher: Bencher<'_, '_>, mut solve: impl FnMut(&mut DesignCache) -> T) {
    let mut cache = DesignCache::new();
    solve(&mut cache);
    bencher.bench_local(|| solve(&mut cache));
}

const PLAIN: MixtureDesign = MixtureDesign { p0: P0, delta: DELTA, phi: 1.0, arl0: ARL0 };
/// One hit multiplies the largest arm by eleven: the limit is an integral over chance.
const STEEP: MixtureDesign = MixtureDesign { p0: 0.01, ..PLAIN };

#[divan::bench]
fn mixture_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.mixture_limit(black_box(&PLAIN)));
}

#[divan::bench]
fn mixture_cached(bencher: Bencher<'_, '_>) {
    cached(bencher, |cache| cache.mixture_limit(black_box(&PLAIN)));
}

#[divan::bench]
fn mixture_of_rare_hits_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.mixture_limit(black_box(&STEEP)));
}

#[divan::bench]
fn bernoulli_cusum_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.bernoulli_limit(black_box(P0), P0 + DELTA, ARL0, 1.0));
}

#[divan::bench]
fn bernoulli_cusum_cached(bencher: Bencher<'_, '_>) {
    cached(bencher, |cache| cache.bernoulli_limit(black_box(P0), P0 + DELTA, ARL0, 1.0));
}

#[divan::bench]
fn normal_cusum_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.normal_limit(black_box(0.5), 1_000.0));
}

#[divan::bench]
fn normal_cusum_cached(bencher: Bencher<'_, '_>) {
    cached(bencher, |cache| cache.normal_limit(black_box(0.5), 1_000.0));
}

#[divan::bench]
fn ewma_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.ewma_limit(black_box(0.1), 1_000.0));
}

#[divan::bench]
fn ewma_cached(bencher: Bencher<'_, '_>) {
    cached(bencher, |cache| cache.ewma_limit(black_box(0.1), 1_000.0));
}

#[divan::bench]
fn ewma_two_sided_cold() -> f64 {
    solve_width(black_box(0.1), 500.0, EwmaLimits::Fixed)
}

#[divan::bench]
fn mewma_of_four_cold(bencher: Bencher<'_, '_>) {
    cold(bencher, |cache| cache.mewma_limit(black_box(4), 0.1, 1_000.0));
}

#[divan::bench]
fn mewma_of_four_cached(bencher: Bencher<'_, '_>) {
    cached(bencher, |cache| cache.mewma_limit(black_box(4), 0.1, 1_000.0));
}

/// From the values themselves, by regenerative calibration.
#[divan::bench(sample_count = 20)]
fn values_cold(bencher: Bencher<'_, '_>) {
    let values = values();
    cold(bencher, |cache| cache.values_limit(black_box(&values), DELTA, 400_000.0));
}

#[divan::bench]
fn values_cached(bencher: Bencher<'_, '_>) {
    let values = values();
    cached(bencher, |cache| cache.values_limit(black_box(&values), DELTA, 400_000.0));
}

/// A whole chart: its limits, and everything it starts with.
#[divan::bench]
fn proportion_chart_cold(bencher: Bencher<'_, '_>) {
    let design = ProportionDesign::new(Counts { hits: 800, n: 10_000 }, DELTA, ARL0);
    cold(bencher, |cache| ProportionChart::new(black_box(&design), cache));
}

#[divan::bench]
fn proportion_chart_cached(bencher: Bencher<'_, '_>) {
    let design = ProportionDesign::new(Counts { hits: 800, n: 10_000 }, DELTA, ARL0);
    cached(bencher, |cache| ProportionChart::new(black_box(&design), cache));
}
