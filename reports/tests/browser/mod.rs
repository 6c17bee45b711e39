//! A headless Chromium, driven through its `DevTools` pipe. No port is opened and nothing is put into the page.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

/// Longest wait for an answer, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// Profile and pipes.
    _folder: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closing the pipe ends it, but not at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts one.
    pub fn start() -> Self {
        let program = "/usr/bin/chromium";
        assert!(
            Path::new(program).exists(),
            "there is no {program}; provisioning/setup.sh installs it"
        );
        let folder = tempfile::tempdir().unwrap();
        let pipe = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            assert!(
                Command::new("mkfifo")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            );
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        // The browser wants its pipe at descriptors 3 and 4; a shell can say so.
        let child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<"$TO" 4>"$FROM""#, program])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!(
                "--user-data-dir={}/profile",
                folder.path().display()
            ))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(&to).unwrap();
        let pipe = File::open(&from).unwrap();
        let (send, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(pipe).split(0) {
                let Ok(bytes) = message else { return };
                let Ok(value) = serde_json::from_slice(&bytes) else {
                    return;
                };
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            to,
            from,
            next: 0,
            session: None,
            _folder: folder,
        }
    }

    /// Asks something of the browser, or of its page once there is one.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer = self
                .from
                .recv_timeout(left)
                .unwrap_or_else(|e| panic!("no answer to {method}: {e}"));
            if answer["id"] == json!(self.next) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Opens a file, on a screen of this size.
    pub fn open(&mut self, file: &Path, width: u32, height: u32) {
        if self.session.is_none() {
            let target = self.ask("Target.createTarget", &json!({"url": "about:blank"}));
            let attached = self.ask(
                "Target.attachToTarget",
                &json!({"targetId": target["targetId"], "flatten": true}),
            );
            self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        }
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        let url = format!("file://{}", file.display());
        self.ask("Page.navigate", &json!({"url": url}));
        let until = Instant::now() + PATIENCE;
        while self.run("document.readyState + ' ' + location.protocol") != json!("complete file:") {
            assert!(Instant::now() < until, "{url} does not load");
            std::thread::yield_now();
        }
    }

    /// The value of an expression in the page.
    pub fn run(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            &json!({"expression": expression, "returnByValue": true}),
        );
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Moves the mouse, and presses it where `press`.
    pub fn mouse(&mut self, x: f64, y: f64, press: bool) {
        let mut send = |kind: &str| {
            let params = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", &params);
        };
        send("mouseMoved");
        if press {
            send("mousePressed");
            send("mouseReleased");
        }
    }

    /// A picture of the whole page, or of what the screen shows, or a PDF of it: into a file.
    pub fn keep(&mut self, method: &str, params: &Value, path: &Path) {
        let data = self.ask(method, params)["data"]
            .as_str()
            .unwrap()
            .to_owned();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
