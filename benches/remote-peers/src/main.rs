//! What other libraries do between two processes, beside lanemesh-net: see the README.

mod failure;
mod memory;
mod peers;
mod reading;
mod report;
mod rounds;
mod shapes;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &*arguments {
        // The two processes of a measurement.
        ["serve", peer] => block_on(peers::serve(peer)),
        ["measure", peer, shape, scale, address] => {
            block_on(peers::measure(peer, shape, scale, address))
        }
        options => rounds::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
