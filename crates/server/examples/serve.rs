//! Serves from a configuration file until it is killed: what the tests of sudden death start.

use hostwright_server::{Config, serve};
use std::io::Write as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: serve CONFIG")?;
    let config = Config::load(path.as_ref())?;
    let ready = |bound: &hostwright_server::Bound| {
        // Whoever reads the address may already be gone.
        let _ = writeln!(std::io::stdout(), "http://{}", bound.http);
    };
    serve(config, std::future::pending(), ready).await?;
    Ok(())
}
