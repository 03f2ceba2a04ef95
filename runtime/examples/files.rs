//! A service that processes files, as airssys-rt motivates itself with: a handler has the happy path
//! only, `?` is the rest, and a file that cannot be read costs the others nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lanemesh_runtime::{ActorResult, Context, Handler, Restart, System, builder};

enum FileMsg {
    Process(PathBuf),
}

struct FileProcessor;

impl Handler for FileProcessor {
    type Msg = FileMsg;

    async fn handle(&mut self, msg: FileMsg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            FileMsg::Process(file) => {
                let lines = fs::read_to_string(&file)?.lines().count(); // the happy path only
                println!("{}: {lines} lines", file.display());
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let supervisor = System::new("files");
    let processor = builder(|| FileProcessor).restart(Restart::Permanent);
    let (mut processor, _child) = supervisor.spawn(processor);

    for file in ["Cargo.toml", "missing", "README.md", "src/lib.rs"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        processor.tell(FileMsg::Process(file)).await?;
    }
    let report = supervisor.drain(Duration::from_secs(5)).await;
    let stats = processor.stats();
    assert!(report.is_clean());
    assert_eq!((stats.low, stats.interrupted, stats.restarts), (4, 1, 1));
    Ok(())
}
