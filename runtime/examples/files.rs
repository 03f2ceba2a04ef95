//! A service that processes files, as airssys-rt motivates itself with: a handler has the happy path
//! only, `?` is the rest, and a file that cannot be read costs the others nothing.

use std::{fs, path::PathBuf, time::Duration};

use lanemesh_runtime::{
    ActorResult, Context, Handler, Restart, System, builder,
    crash::{Lease, Persistent},
    supervision::{Strategy, Supervision},
};

enum FileMsg {
    Process(PathBuf),
}

struct FileProcessor {
    lines: Lease<usize>,
}

impl FileProcessor {
    fn process(&mut self, file: PathBuf) -> ActorResult {
        *self.lines += fs::read_to_string(file)?.lines().count();
        Ok(())
    }
}

impl Handler for FileProcessor {
    type Msg = FileMsg;

    async fn handle(&mut self, msg: FileMsg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            FileMsg::Process(file) => self.process(file), // the happy path only
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = Supervision::new(Strategy::OneForOne).intensity(3, Duration::from_secs(60));
    let supervisor = System::supervised("files", rules);
    let lines = Persistent::new(0);
    let kept = lines.clone();
    let processor = builder(move || FileProcessor {
        lines: kept.lease(),
    });
    let (mut processor, _child) = supervisor.spawn(processor.restart(Restart::Permanent));

    let folder = std::env::temp_dir().join(format!("lanemesh-files-{}", std::process::id()));
    fs::create_dir(&folder)?;
    for name in ["one", "two", "three"] {
        fs::write(folder.join(name), "a\nb\n")?;
    }
    for name in ["one", "missing", "two", "three"] {
        processor.tell(FileMsg::Process(folder.join(name))).await?;
    }
    let report = supervisor.drain(Duration::from_secs(5)).await;
    fs::remove_dir_all(folder)?;
    println!("{report}");
    assert_eq!(lines.with(|lines| *lines), Some(6));
    assert_eq!(processor.stats().restarts, 1);
    Ok(())
}
