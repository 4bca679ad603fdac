//! Somebody who came through TLS: reads what they want and does it.

use super::Attendant;
use super::page::log_text;
use super::shells::{Attachment, Next};
use hostwright_client::duplex::{TlsReader, TlsWriter};
use hostwright_client::frame::{Frame, read_frame, write_frame, write_json};
use hostwright_client::shell::SIGN_OF_LIFE;
use hostwright_model::shell::{Answer, End, FRAME_BYTES_MAX, FrameKind, Request, TerminalSize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Lines of the log that a new shell shows first.
const REPLAY_LINES: usize = 1000;

/// Serves one connection to its end.
pub(super) fn serve(
    attendant: &Arc<Attendant>,
    mut reader: TlsReader,
    mut writer: TlsWriter,
) -> io::Result<()> {
    let frame = read_frame(&mut reader)?;
    let request = match frame.kind {
        FrameKind::Request => frame.json::<Request>(),
        _ => Err(ErrorKind::InvalidData.into()),
    };
    let done = match request {
        Ok(Request::Put { path, mode }) => put(&mut reader, &mut writer, Path::new(&path), mode),
        Ok(Request::Get { path }) => get(&mut writer, Path::new(&path)),
        Ok(request) => match open(attendant, &request) {
            Ok(attachment) => look(attendant, reader, &mut writer, attachment),
            Err(reason) => refuse(&mut writer, reason),
        },
        Err(error) => refuse(&mut writer, format!("the request is not understood: {error}")),
    };
    writer.close();
    done
}

fn refuse(writer: &mut TlsWriter, reason: String) -> io::Result<()> {
    write_json(writer, FrameKind::Answer, &Answer::Refused { reason })
}

/// A new shell, or one that was started before.
fn open(attendant: &Attendant, request: &Request) -> Result<Attachment, String> {
    let shells = &attendant.shells;
    match request {
        Request::Shell { term, size, command, .. } => {
            let greeting = match command {
                Some(_) => String::new(),
                None => greeting(attendant),
            };
            let shell = shells.start(term, *size, command.as_deref(), &greeting)?;
            Ok(shells.attach(shell, 0))
        }
        Request::Attach { session, seen_bytes, size } => {
            let shell = shells.find(session).ok_or("this shell has ended")?;
            shell.set_size(*size);
            Ok(shells.attach(shell, *seen_bytes))
        }
        Request::Put { .. } | Request::Get { .. } => Err("a file is no shell".to_owned()),
    }
}

/// The log so far, and where one is.
fn greeting(attendant: &Attendant) -> String {
    let state = attendant.watch.now();
    let skipped = state.log.len().saturating_sub(REPLAY_LINES);
    let mut text = String::new();
    for line in state.log.iter().skip(skipped) {
        text.push_str(&log_text(line));
        text.push_str("\r\n");
    }
    let name = if state.machine.is_empty() { "a machine" } else { &state.machine };
    text.push_str(&format!(
        "--- {name}: {} lines of log above. The machine does not restart while you are here.\r\n",
        state.log.len() - skipped
    ));
    text
}

/// A shell until it ends or the connection does: this thread shows, another one types.
fn look(
    attendant: &Arc<Attendant>,
    reader: TlsReader,
    writer: &mut TlsWriter,
    mut attachment: Attachment,
) -> io::Result<()> {
    let shell = Arc::clone(&attachment.shell);
    let session = shell.name().to_owned();
    let answer = Answer::Shell { session, next_byte: attachment.next_byte };
    let mut done = write_json(writer, FrameKind::Answer, &answer);
    if done.is_ok() {
        let out = writer.clone();
        thread::spawn(move || {
            // What is wrong shows to whoever writes, as the connection ends.
            let _ = type_in(reader, &shell);
            out.close();
        });
        done = show(writer, &mut attachment);
    }
    attendant.shells.detach(&attachment);
    done
}

fn show(writer: &mut TlsWriter, attachment: &mut Attachment) -> io::Result<()> {
    loop {
        match attachment.next(SIGN_OF_LIFE) {
            Next::Bytes(bytes) => write_frame(writer, FrameKind::Data, &bytes)?,
            Next::Quiet => write_frame(writer, FrameKind::Ping, b"")?,
            Next::End(end) => return write_json(writer, FrameKind::End, &end),
            Next::Replaced => return Ok(()),
        }
    }
}

fn type_in(mut reader: TlsReader, shell: &super::shells::Shell) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut reader)?;
        match frame.kind {
            FrameKind::Data => shell.write(&frame.content)?,
            FrameKind::Size => shell.set_size(frame.json::<TerminalSize>()?),
            FrameKind::Ping => {}
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Writes a file: under another name first, so that nobody ever sees half of it.
fn put(reader: &mut TlsReader, writer: &mut TlsWriter, path: &Path, mode: u32) -> io::Result<()> {
    let part = part_of(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let opened = match path.is_absolute() {
        true => options.open(&part),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "the path is not absolute")),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return refuse(writer, format!("cannot write {}: {error}", part.display())),
    };
    write_json(writer, FrameKind::Answer, &Answer::Ready)?;
    let received = receive(reader, &mut file, &part, path, mode);
    if received.is_err() {
        // It may not have come that far.
        let _ = fs::remove_file(&part);
    }
    let error = received.err().map(|error| format!("cannot write {}: {error}", path.display()));
    let end = End { status: i32::from(error.is_some()), error };
    write_json(writer, FrameKind::End, &end)
}

fn receive(
    reader: &mut TlsReader,
    file: &mut File,
    part: &Path,
    path: &Path,
    mode: u32,
) -> io::Result<()> {
    loop {
        let Frame { kind, content } = read_frame(reader)?;
        match kind {
            FrameKind::Data => file.write_all(&content)?,
            FrameKind::EndOfFile => break,
            FrameKind::Ping => {}
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    file.sync_all()?;
    fs::rename(part, path)
}

fn part_of(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Reads a regular file.
fn get(writer: &mut TlsWriter, path: &Path) -> io::Result<()> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (meta, mut file) = match opened {
        Ok((meta, file)) if meta.is_file() => (meta, file),
        Ok(_) => return refuse(writer, format!("{} is no regular file", path.display())),
        Err(error) => return refuse(writer, format!("cannot read {}: {error}", path.display())),
    };
    let mode = meta.permissions().mode() & 0o7777;
    let answer = Answer::File { size_bytes: meta.len(), mode };
    write_json(writer, FrameKind::Answer, &answer)?;
    let (mut chunk, begun) = (vec![0; FRAME_BYTES_MAX], Instant::now());
    let error = loop {
        match file.read(&mut chunk) {
            Ok(0) => break None,
            Ok(count) => write_frame(writer, FrameKind::Data, &chunk[..count])?,
            Err(error) => break Some(format!("cannot read {}: {error}", path.display())),
        }
        // A file of /proc or one that grows for ever is not followed for ever.
        if begun.elapsed() > Duration::from_secs(3600) {
            break Some(format!("{} takes too long", path.display()));
        }
    };
    if error.is_none() {
        write_frame(writer, FrameKind::EndOfFile, b"")?;
    }
    let end = End { status: i32::from(error.is_some()), error };
    write_json(writer, FrameKind::End, &end)
}
