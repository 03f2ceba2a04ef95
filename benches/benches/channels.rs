//! The shapes of `compare` for `cargo bench`: every channel, with a cell or two of each shape.

use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use lanemesh_benches::plan::Timing;
use lanemesh_benches::rig::executor::cores;
use lanemesh_benches::rig::fault::Fault;
use lanemesh_benches::rivals::channels::{
    self, AsyncFamily, AsyncVisitor, BlockingFamily, BlockingVisitor, Capacity, Family, TryVisitor,
    visit_all, visit_async, visit_blocking,
};
use lanemesh_benches::rivals::two_class::{TwoClass, TwoClassVisitor, visit_two_class};
use lanemesh_benches::shapes::fan_in::FanIn;
use lanemesh_benches::shapes::{idle_lanes, latency, pinball, priority, threads, uncontended};

/// A group whose benchmarks take about a second each.
fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(800));
    group.throughput(Throughput::Elements(1));
    group
}

/// Adds a benchmark of `work`, which sends about the given number of messages. A fault aborts the
/// bench.
fn add(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    work: impl Fn(u64) -> Result<Timing, Fault>,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|messages| match work(messages) {
            Ok(timing) => timing
                .elapsed
                .mul_f64(messages as f64 / timing.count.max(1) as f64),
            Err(fault) => panic!("{name}: {fault}"),
        });
    });
}

struct Tasks<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    FanIn(FanIn),
    Packets(FanIn),
    Pinball { balls: usize },
    Latency { workers: usize },
}

impl AsyncVisitor for Tasks<'_, '_> {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        match self.work {
            Work::FanIn(fan_in) => add(self.group, F::NAME, |count| fan_in.run::<u64, F>(count)),
            Work::Packets(fan_in) => {
                add(self.group, F::NAME, |count| fan_in.run::<Bytes, F>(count));
            }
            Work::Pinball { balls } => {
                add(self.group, F::NAME, |count| {
                    pinball::run::<F>(1, balls, count)
                });
            }
            Work::Latency { workers } => {
                add(self.group, F::NAME, |count| {
                    latency::tasks::<F>(workers, count)
                });
            }
        }
    }
}

fn tasks(criterion: &mut Criterion) {
    let fan_in = |senders, slots| FanIn {
        rigs: 1,
        senders,
        slots,
    };
    let groups = [
        (
            "funnel/100",
            Work::FanIn(fan_in(13, Capacity::split(100, 13))),
        ),
        ("pinball/1", Work::Pinball { balls: 1 }),
        ("pinball/41", Work::Pinball { balls: 41 }),
        (
            "tasks/64",
            Work::FanIn(fan_in(64, Capacity::per_lane(64, 64))),
        ),
        (
            "tasks/64 packets",
            Work::Packets(fan_in(64, Capacity::per_lane(64, 64))),
        ),
        ("latency/tasks", Work::Latency { workers: cores() }),
    ];
    for (name, work) in groups {
        let mut group = group(criterion, name);
        visit_async(&mut Tasks {
            group: &mut group,
            work,
        });
        group.finish();
    }
}

struct Threads<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    /// Number of producers; `None` sends one message back and forth.
    producers: Option<usize>,
}

impl BlockingVisitor for Threads<'_, '_> {
    fn visit<F: BlockingFamily<u64>>(&mut self) {
        match self.producers {
            Some(producers) if producers > F::MAX_PRODUCERS => {}
            Some(producers) => {
                let slots = Capacity::split(1_024, producers);
                add(self.group, F::NAME, |count| {
                    threads::run::<F>(producers, slots, count)
                });
            }
            None => add(self.group, F::NAME, latency::threads::<F>),
        }
    }
}

fn blocking(criterion: &mut Criterion) {
    for (name, producers) in [
        ("threads/1", Some(1)),
        ("threads/4", Some(4)),
        ("latency/threads", None),
    ] {
        let mut group = group(criterion, name);
        visit_blocking(&mut Threads {
            group: &mut group,
            producers,
        });
        group.finish();
    }
}

struct Single<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    work: Alone,
}

#[derive(Clone, Copy)]
enum Alone {
    Singly,
    Batches,
    Idle,
}

impl TryVisitor for Single<'_, '_> {
    fn visit<F: Family<u64>>(&mut self) {
        match self.work {
            Alone::Singly => add(self.group, F::NAME, uncontended::singly::<F>),
            Alone::Batches => {
                add(self.group, F::NAME, |count| {
                    uncontended::in_batches::<F>(32, count.next_multiple_of(32))
                });
            }
            Alone::Idle if F::MAX_PRODUCERS < 1_000 => {}
            Alone::Idle => {
                add(self.group, F::NAME, |count| {
                    idle_lanes::beside_idle::<F>(1_000, count)
                });
            }
        }
    }
}

fn alone(criterion: &mut Criterion) {
    channels::prepare(true);
    for (name, work) in [
        ("uncontended/singly", Alone::Singly),
        ("uncontended/batches of 32", Alone::Batches),
        ("idle_lanes/1000", Alone::Idle),
    ] {
        let mut group = group(criterion, name);
        visit_all(&mut Single {
            group: &mut group,
            work,
        });
        group.finish();
    }
}

struct Control<'a, 'b>(&'a mut BenchmarkGroup<'b, WallTime>);

/// Number of data producers that flood the channel.
const FLOODERS: usize = 8;
/// Minimum number of bursts of control in a flood, so that the median is meaningful.
const BURSTS: u64 = 20;

impl TwoClassVisitor for Control<'_, '_> {
    fn visit<F: TwoClass>(&mut self) {
        add(self.0, F::NAME, |count| {
            let outcome =
                priority::flood::<F>(FLOODERS, count.div_ceil(priority::IN_BURST).max(BURSTS))?;
            // The latency of a message, not the duration of the flood.
            Ok(Timing {
                count: 1,
                elapsed: Duration::from_nanos(outcome.latencies.at(0.5) as u64),
            })
        });
    }
}

fn control(criterion: &mut Criterion) {
    let mut group = group(criterion, "priority/8, median of control");
    visit_two_class(&mut Control(&mut group));
    group.finish();
}

criterion_group!(benches, alone, tasks, blocking, control);
criterion_main!(benches);
