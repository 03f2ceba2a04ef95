//! The shape `runtime` of `compare` for `cargo bench`: every actor runtime, at a small scale.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use lanemesh_benches::rig::fault::Fault;
use lanemesh_benches::rivals::actors::{Actors, ActorsVisitor, visit_actors};
use lanemesh_benches::rivals::channels;
use lanemesh_benches::shapes::runtime;

#[derive(Clone, Copy)]
enum Work {
    Tell,
    Ask,
    Spawn,
    Stop,
    Restart,
}

struct Visit<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    workers: usize,
    work: Work,
}

/// Number of messages or actors of one iteration.
const BATCH: u64 = 1_000;
/// Branches of a tree and leaves of each branch: about [`BATCH`] actors.
const TREE: (usize, usize) = (31, 31);

impl ActorsVisitor for Visit<'_, '_> {
    fn visit<A: Actors>(&mut self) {
        let (workers, work) = (self.workers, self.work);
        if !A::can_use(workers) || (matches!(work, Work::Restart) && !A::RESTARTS) {
            return;
        }
        self.group.bench_function(A::NAME, |bencher| {
            bencher.iter_custom(|iterations| {
                let taken = match work {
                    Work::Tell => tell::<A>(workers, iterations),
                    Work::Ask => runtime::ask_all::<A>(workers, iterations * BATCH),
                    Work::Spawn => spawn::<A>(workers, iterations),
                    Work::Stop => stop::<A>(workers, iterations),
                    Work::Restart => restart::<A>(workers, iterations),
                };
                match taken {
                    Ok(taken) => taken,
                    Err(fault) => panic!("{}: {fault}", A::NAME),
                }
            });
        });
    }
}

fn tell<A: Actors>(workers: usize, iterations: u64) -> Result<Duration, Fault> {
    runtime::tell::<A>(workers, 1, iterations * BATCH).map(|timing| timing.elapsed)
}

fn spawn<A: Actors>(workers: usize, iterations: u64) -> Result<Duration, Fault> {
    let mut nanos = 0.0;
    for _ in 0..iterations {
        nanos += runtime::spawn::<A>(workers, BATCH as usize)? * BATCH as f64;
    }
    Ok(Duration::from_nanos(nanos as u64))
}

fn stop<A: Actors>(workers: usize, iterations: u64) -> Result<Duration, Fault> {
    let (branches, leaves) = TREE;
    (0..iterations)
        .map(|_| runtime::stop::<A>(workers, branches, leaves))
        .sum()
}

fn restart<A: Actors>(workers: usize, iterations: u64) -> Result<Duration, Fault> {
    let median = runtime::restart::<A>(workers, iterations as usize)?;
    Ok(Duration::from_nanos((median * iterations as f64) as u64))
}

fn actors(criterion: &mut Criterion) {
    channels::prepare(true);
    for workers in [1, 2] {
        let batch = |name| format!("{name} {BATCH}");
        for (name, work) in [
            (batch("tell"), Work::Tell),
            (batch("ask"), Work::Ask),
            (batch("spawn"), Work::Spawn),
            ("stop of a tree".to_owned(), Work::Stop),
            ("panic to first message".to_owned(), Work::Restart),
        ] {
            let name = format!("actors/{name}, {workers} workers");
            let mut group = criterion.benchmark_group(name);
            group.sample_size(10);
            group.warm_up_time(Duration::from_millis(200));
            group.measurement_time(Duration::from_millis(800));
            visit_actors(&mut Visit {
                group: &mut group,
                workers,
                work,
            });
            group.finish();
        }
    }
}

criterion_group!(benches, actors);
criterion_main!(benches);
