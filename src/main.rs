//! The command line of wizen: parses, calls the library, prints.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    // Drivers that are not used need not be heard.
    let level = if args.common.verbose {
        "info"
    } else {
        "error,wgpu_hal=off"
    };
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("WIZEN_LOG", level)).init();
    match pollster::block_on(cli::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wizen: {error}");
            ExitCode::from(1)
        }
    }
}
