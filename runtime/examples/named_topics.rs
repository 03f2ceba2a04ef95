//! A pipeline over named topics, as in airssys-rt: ingestion, validation, processing, storage. Each
//! stage knows the broker and the names, not the next stage.

use std::time::Duration;

use lanemesh_runtime::{
    ActorError, ActorResult, Context, Handler, System,
    patterns::{Broker, SlowPolicy},
    testing::{Probed, probe},
};

#[derive(Clone, Debug, PartialEq)]
enum PipelineMsg {
    Ingest(String),
    Validated(u32),
    Store(u32),
}

struct PipelineActor {
    broker: Broker<PipelineMsg>,
}

impl PipelineActor {
    fn validate(&self, data: &str) -> Result<u32, ActorError> {
        Ok(data.trim().parse()?)
    }
}

impl Handler for PipelineActor {
    type Msg = PipelineMsg;

    async fn handle(&mut self, msg: PipelineMsg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            PipelineMsg::Ingest(data) => {
                let validated = PipelineMsg::Validated(self.validate(&data)?);
                self.broker.publish("pipeline.validated", validated).await;
            }
            PipelineMsg::Validated(number) => {
                let processed = PipelineMsg::Store(number * 2);
                self.broker.publish("pipeline.processed", processed).await;
            }
            PipelineMsg::Store(_) => {}
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::new();
    let system = System::new("pipeline");
    let stage = || PipelineActor {
        broker: broker.clone(),
    };
    let (mut ingestion, _ingestion) = system.spawn(stage());
    let (processing, _processing) = system.spawn(stage());
    let (storage, mut stored, _storage) = probe::<(), _>();
    let wait = SlowPolicy::Wait;
    broker.subscribe_recipient("pipeline.validated", processing.low_recipient(), wait);
    broker.subscribe_recipient("pipeline.processed", storage.low_recipient(), wait);

    for data in ["1", " 2 "] {
        let data = PipelineMsg::Ingest(data.into());
        ingestion.tell(data).await?;
    }
    for number in [2, 4] {
        let seen = stored.expect(Duration::from_secs(5)).await?;
        println!("{seen:?}");
        assert_eq!(seen, Probed::Low(PipelineMsg::Store(number)));
    }
    Ok(())
}
