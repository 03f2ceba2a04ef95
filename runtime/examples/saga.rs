//! A saga, as in airssys-rt: steps in order, each with a compensation; when one fails, those before
//! it are compensated for, last first, and the coordinator fails with the step's error.

use std::sync::{Arc, Mutex};

use lanemesh_runtime::{ActorError, ActorResult, Context, ExitReason, Handler, spawn};

type Journal = Arc<Mutex<Vec<String>>>;

/// A step of a trip: it books something, or finds nothing to book.
#[derive(Clone)]
struct Step {
    name: &'static str,
    is_available: bool,
    journal: Journal,
}

struct Compensation {
    name: &'static str,
    journal: Journal,
}

impl Step {
    async fn execute(&self) -> ActorResult {
        if !self.is_available {
            return Err(ActorError::msg(format_args!("no {}", self.name)));
        }
        self.journal
            .lock()
            .unwrap()
            .push(format!("book {}", self.name));
        Ok(())
    }

    fn compensation(&self) -> Compensation {
        let (name, journal) = (self.name, self.journal.clone());
        Compensation { name, journal }
    }
}

impl Compensation {
    async fn undo(self) {
        self.journal
            .lock()
            .unwrap()
            .push(format!("cancel {}", self.name));
    }
}

enum SagaMsg {
    Execute,
}

struct SagaCoordinator {
    steps: Vec<Step>,
    compensations: Vec<Compensation>,
}

impl Handler for SagaCoordinator {
    type Msg = SagaMsg;

    async fn handle(&mut self, SagaMsg::Execute: SagaMsg, _: &mut Context<Self>) -> ActorResult {
        for step in &self.steps {
            step.execute().await?; // `stopped` rolls back
            self.compensations.push(step.compensation());
        }
        self.compensations.clear(); // all is done: there is nothing to undo any more
        Ok(())
    }

    /// Also after a panic in a step.
    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        while let Some(compensation) = self.compensations.pop() {
            compensation.undo().await;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let journal = Journal::default();
    let step = |name, is_available| Step {
        name,
        is_available,
        journal: journal.clone(),
    };
    let steps = vec![
        step("flight", true),
        step("hotel", true),
        step("car", false),
    ];
    let (mut saga, child) = spawn(SagaCoordinator {
        steps,
        compensations: Vec::new(),
    });
    saga.tell(SagaMsg::Execute).await?;
    let reason = child.await;
    println!("{reason}: {:?}", journal.lock().unwrap());
    assert!(reason.to_string().contains("no car"));
    assert_eq!(
        *journal.lock().unwrap(),
        ["book flight", "book hotel", "cancel hotel", "cancel flight"]
    );
    Ok(())
}
