//! A ledger over random schedules: every accepted message ends in exactly one way.
//!
//! A scenario is made from a seed: actors with options by chance, tasks that send to them in every
//! way there is, crashes in any hook, stops, drains, restarts, and one of several ends. It runs in
//! a simulation, then every message is accounted for.
//!
//! `LEDGER_SEEDS=5000` runs as many seeds, `LEDGER_SEED=7` only this one.

mod book;
mod check;
mod sender;
mod subject;
mod world;

use std::{collections::BTreeMap, env, time::Duration};

use lanemesh_runtime::{System, shutdown::ShutdownReport, testing::simulate};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::{
    check::check,
    world::{World, on},
};
use crate::common::hush;

const SEEDS: u64 = 400;

#[test]
fn every_accepted_message_ends_in_exactly_one_way() {
    hush();
    let read = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match read("LEDGER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..read("LEDGER_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut failed = Vec::new();
    let mut seen = BTreeMap::new();
    for seed in seeds {
        let world = World::new(seed);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let end = simulate(seed, scenario(world.clone())).unwrap();
            if env::var("LEDGER_SEED").is_ok() {
                println!("{end:?}");
            }
            check(&world, &end, &mut seen)
        }));
        let faults = match run {
            Ok(faults) => faults,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                vec![text.unwrap_or_else(|| "the scenario panicked".to_owned())]
            }
        };
        if !faults.is_empty() {
            println!("seed {seed}; to repeat: LEDGER_SEED={seed}");
            faults.iter().for_each(|fault| println!("    {fault}"));
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "the books of these seeds do not balance: {failed:?}"
    );
    if count >= SEEDS {
        let rare: Vec<_> = seen.iter().filter(|(_, count)| **count < 10).collect();
        assert!(rare.is_empty(), "the scenarios have hardly any: {rare:?}");
    }
}

/// How a scenario has ended.
#[derive(Debug)]
enum End {
    /// By a shutdown or drain within this time.
    Report(ShutdownReport, Duration),
    /// The system was dropped.
    Dropped,
    /// The runtime was dropped with everything that ran.
    Aborted,
}

/// Longer than anything can take.
const FOREVER: Duration = Duration::from_secs(100_000);

async fn scenario(world: World) -> End {
    let system = System::supervised("ledger", world.rules());
    let (actors, senders, steps) = {
        let mut random = world.random();
        (random.between(1, 4), random.between(1, 6), random.below(12))
    };
    for _ in 0..actors {
        world.spawn_in(&system);
    }
    let mut tasks = Vec::new();
    if world.random().percent(30) {
        world.spawn_pool(&system);
    }
    for _ in 0..senders {
        if let Some(to) = world.any_handle() {
            tasks.push(tokio::spawn(sender::run(world.clone(), to)));
        }
        tasks.extend(hand_out(&world));
    }
    let topics: Vec<_> = world.topics.lock().unwrap().clone();
    for topic in topics {
        tasks.push(tokio::spawn(sender::publish(world.clone(), topic)));
    }
    for _ in 0..steps {
        let millis = world.random().below(12);
        sleep(Duration::from_millis(millis)).await;
        step(&world, &system, &mut tasks);
    }
    let (way, millis) = {
        let mut random = world.random();
        (random.below(10), random.pick(&[1, 5, 50, 100, 3_000]))
    };
    let grace = Duration::from_millis(millis);
    let end = match way {
        0..4 => End::Report(system.shutdown(grace).await, grace),
        4..8 => End::Report(system.drain(grace).await, grace),
        8 => {
            drop(system);
            End::Dropped
        }
        _ => return End::Aborted,
    };
    for task in tasks {
        match timeout(FOREVER, task).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => panic!("a task waits for ever"),
        }
    }
    let monitors: Vec<_> = {
        let records = world.records();
        let handles = records.iter().filter_map(|record| record.handle.as_ref());
        handles
            .map(|handle| on!(handle, handle => handle.monitor()))
            .collect()
    };
    for monitor in monitors {
        assert!(
            timeout(FOREVER, monitor).await.is_ok(),
            "an actor lives for ever"
        );
    }
    end
}

/// Something happens to one of the actors.
fn step(world: &World, system: &System, tasks: &mut Vec<JoinHandle<()>>) {
    let (way, millis) = {
        let mut random = world.random();
        (random.below(100), random.below(20))
    };
    let within = Duration::from_millis(millis);
    let to = world.any_handle();
    let child = {
        let mut records = world.records();
        let count = records.len() as u64;
        let at = world.random().below(count.max(1)) as usize;
        let record = records.get_mut(at);
        // Its handle is kept, to look at the actor in the end.
        record.and_then(|record| record.handle.is_some().then(|| record.child.take())?)
    };
    match way {
        0..10 => {
            if let Some(to) = to {
                on!(to, to => to.stop());
            }
        }
        10..25 => {
            if let Some(to) = to {
                on!(to, to => to.drain());
            }
        }
        25..35 => drop(child),
        35..45 => tasks.extend(child.map(|child| {
            tokio::spawn(async move {
                child.stop_within(within).await;
            })
        })),
        45..55 => tasks.extend(child.map(|child| {
            tokio::spawn(async move {
                child.drain().await;
            })
        })),
        55..65 => {
            if let Some(child) = child {
                child.detach();
            }
        }
        65..75 => world.spawn_in(system),
        75..85 => {
            put_back(world, child);
            // All handles may be gone then.
            let mut records = world.records();
            let owned = records.iter_mut().find(|record| record.child.is_some());
            if let Some(record) = owned {
                record.handle = None;
            }
        }
        85..87 => {
            put_back(world, child);
            if let Some(to) = to {
                on!(to, to => {
                    world.book.will_be_killed(to.id());
                    to.kill();
                });
            }
        }
        87..89 => tasks.extend(child.map(|child| {
            world.book.will_be_killed(child.id());
            tokio::spawn(async move {
                child.kill().await;
            })
        })),
        89..93 => {
            put_back(world, child);
            world.grow_pool(system);
            tasks.extend(hand_out(world));
        }
        _ => {
            put_back(world, child);
            if let Some(to) = to {
                tasks.push(tokio::spawn(sender::run(world.clone(), to)));
            }
        }
    }
}

/// Sends jobs to a pool, if there is one.
fn hand_out(world: &World) -> Option<JoinHandle<()>> {
    let (pool, order) = world.any_pool()?;
    Some(tokio::spawn(sender::hand_out(world.clone(), pool, order)))
}

fn put_back(world: &World, child: Option<lanemesh_runtime::Child>) {
    let Some(child) = child else {
        return;
    };
    let id = child.id();
    let mut records = world.records();
    if let Some(record) = records.iter_mut().find(|record| record.id == id) {
        record.child = Some(child);
    }
}
