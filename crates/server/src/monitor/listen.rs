//! The monitor's socket.

use super::MonitorConfig;
use super::message::{LINE_BYTES_MAX, Message};
use crate::app::App;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// FAI's monitor waits as long for a line.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at one time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 64;

/// Takes messages until the server ends.
pub(crate) async fn listen(listener: TcpListener, config: MonitorConfig, app: Arc<App>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let config = Arc::new(config);
    while let Some(Ok(slot)) =
        app.stop.run_until_cancelled(Arc::clone(&slots).acquire_owned()).await
    {
        let Some(accepted) = app.stop.run_until_cancelled(listener.accept()).await else { return };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the monitor cannot take a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (app, config) = (Arc::clone(&app), Arc::clone(&config));
        tokio::spawn(async move {
            let talk = talk(stream, peer, &config, &app);
            match tokio::time::timeout(TIMEOUT, talk).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a monitor connection broke"),
                Err(_) => tracing::debug!(%peer, "a monitor connection stayed silent"),
            }
            drop(slot);
        });
    }
}

async fn talk(
    mut stream: TcpStream,
    peer: SocketAddr,
    config: &MonitorConfig,
    app: &App,
) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = Vec::new();
    BufReader::new(reading.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
    let line = String::from_utf8_lossy(&line);
    match Message::parse(&line) {
        Some(Message::Variable(name)) => {
            let answer = match config.variables.get(&name) {
                Some(value) => format!("OK {value}\n"),
                None => format!("UNKNOWN {name}\n"),
            };
            writing.write_all(answer.as_bytes()).await
        }
        Some(Message::Told { name, news }) => {
            tracing::info!(machine = name, message = line.trim(), "monitor");
            app.monitor.note(name, news, peer.ip().to_string(), app.now_ms());
            app.fleet.touch();
            Ok(())
        }
        None => {
            tracing::debug!(%peer, "not a line of the monitor's protocol");
            Ok(())
        }
    }
}
