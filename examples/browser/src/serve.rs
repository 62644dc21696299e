//! Writes the JavaScript around the module, serves the page to a headless Chromium, and prints what the page
//! reports. Exit status 0 only if the page says that it passed.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No line for so long: the page hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// One of the page's requests that matter here: its path and its text.
type Report = (String, String);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let module = args.next().ok_or("usage: serve MODULE.wasm [speed]")?;
    let query = args.next().map_or(String::new(), |work| format!("?{work}"));
    let folder = Path::new("target/page");
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(false)
        .generate(folder)?;
    std::fs::copy("page.html", folder.join("index.html"))?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/{query}", listener.local_addr()?);
    let (sender, reports) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A request that breaks off is the browser's affair; a missing report ends the wait below.
            if let Ok(Some(report)) = answer(stream, folder) {
                let _ = sender.send(report);
            }
        }
    });

    let profile = std::env::temp_dir().join(format!("wizen-browser-{}", std::process::id()));
    let mut browser = Command::new(std::env::var("CHROMIUM").unwrap_or("chromium".into()))
        .args([
            "--headless",
            "--no-sandbox",
            "--no-first-run",
            "--disable-sync",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-quic",
        ])
        .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(&url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("chromium: {e}"))?;
    let result = loop {
        match reports.recv_timeout(PATIENCE) {
            Ok((path, text)) => {
                println!("{text}");
                match path.as_str() {
                    "/passed" => break Ok(()),
                    "/failed" => break Err("the page failed".into()),
                    _ => {}
                }
            }
            Err(_) => break Err(format!("the page said nothing for {PATIENCE:?}").into()),
        }
    };
    browser.kill()?;
    browser.wait()?;
    // What Chromium still holds open is not worth a failure.
    let _ = std::fs::remove_dir_all(profile);
    result
}

/// Answers one request from `folder`; what was posted.
fn answer(mut stream: TcpStream, folder: &Path) -> Result<Option<Report>, Box<dyn Error>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.to_lowercase().strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse()?,
            None if header.trim().is_empty() => break,
            None => {}
        }
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
    let name = path.split('?').next().unwrap_or("").trim_start_matches('/');
    let name = if name.is_empty() { "index.html" } else { name };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => "text/plain",
    };
    let (status, body) = match method {
        "POST" => ("204 No Content", Vec::new()),
        _ => match std::fs::read(folder.join(name)) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        },
    };
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)?;
    let report = (path.to_owned(), String::from_utf8_lossy(&text).into_owned());
    Ok((method == "POST").then_some(report))
}
