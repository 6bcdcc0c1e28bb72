//! A scanner on loopback that does what a test wants.
#![allow(dead_code, reason = "not every test file speaks every protocol")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A listener; it ends with the test's process.
pub struct Fake {
    pub address: String,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    head: Arc<Mutex<String>>,
}

/// One connection.
pub struct Talk {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    head: Arc<Mutex<String>>,
}

/// An address at which nobody listens.
pub fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Fake {
    /// Answers `VERSION` and leaves `INSTREAM` to the test.
    pub fn clamd(act: impl Fn(&mut Talk) + Send + Sync + 'static) -> Fake {
        Fake::new(move |talk| match talk.until(b"\0").as_slice() {
            b"zVERSION\0" => {
                talk.say(b"ClamAV 1.4.6/27500/Thu Nov 26 09:00:00 2026\0");
            }
            b"zINSTREAM\0" => act(talk),
            other => panic!("not a command of clamd: {other:?}"),
        })
    }

    /// Leaves everything to the test.
    pub fn any(act: impl Fn(&mut Talk) + Send + Sync + 'static) -> Fake {
        Fake::new(act)
    }

    pub fn icap(act: impl Fn(&mut Talk) + Send + Sync + 'static) -> Fake {
        Fake::new(act)
    }

    fn new(act: impl Fn(&mut Talk) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (heard, head) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<String>>::default());
        let (of_talk, of_head, act) = (heard.clone(), head.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut talk = Talk { stream: stream.unwrap(), heard: of_talk.clone(), head: of_head.clone() };
                let act = act.clone();
                std::thread::spawn(move || {
                    act(&mut talk);
                    // Gone means gone: what the other side still sends is not waited for.
                    let _ = talk.stream.shutdown(Shutdown::Both);
                });
            }
        });
        Fake { address, heard, head }
    }

    /// Every content that was heard to its end.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    /// What stood before the last body, of ICAP.
    pub fn head(&self) -> String {
        self.head.lock().unwrap().clone()
    }
}

impl Talk {
    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut read, mut octet) = (Vec::new(), [0]);
        while !read.ends_with(end) && self.stream.read_exact(&mut octet).is_ok() {
            read.push(octet[0]);
        }
        read
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut octets = vec![0; count];
        self.stream.read_exact(&mut octets).ok().map(|()| octets)
    }

    /// One piece of `INSTREAM`; none at the end of the content, or of the connection.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        let length = self.exactly(4)?;
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let piece = self.exactly(length)?;
        (length > 0).then_some(piece)
    }

    /// All of an `INSTREAM`.
    pub fn content(&mut self) {
        let (mut content, mut ended) = (Vec::new(), false);
        while let Some(length) = self.exactly(4) {
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if length == 0 {
                ended = true;
                break;
            }
            let Some(piece) = self.exactly(length) else { break };
            content.extend(piece);
        }
        if ended {
            self.heard.lock().unwrap().push(content);
        }
    }

    /// The header sections: of ICAP, and the two that it encapsulates.
    pub fn icap_head(&mut self) {
        let head = [self.until(b"\r\n\r\n"), self.until(b"\r\n\r\n"), self.until(b"\r\n\r\n")].concat();
        *self.head.lock().unwrap() = String::from_utf8(head).unwrap();
    }

    /// The header sections and the body in its chunks.
    pub fn icap_content(&mut self) {
        self.icap_head();
        let (mut content, mut ended) = (Vec::new(), false);
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).unwrap();
            let Ok(length) = usize::from_str_radix(line.trim(), 16) else { break };
            let Some(chunk) = self.exactly(length + 2) else { break };
            if length == 0 {
                ended = true;
                break;
            }
            content.extend_from_slice(&chunk[..length]);
        }
        if ended {
            self.heard.lock().unwrap().push(content);
        }
    }

    /// A request that has its length in a field: its head, then that many octets.
    pub fn sized_content(&mut self) {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        *self.head.lock().unwrap() = head.clone();
        let length = head.to_ascii_lowercase().split("content-length: ").nth(1).unwrap().to_owned();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if let Some(content) = self.exactly(length) {
            self.heard.lock().unwrap().push(content);
        }
    }

    /// The same without what follows the head.
    pub fn head_alone(&mut self) {
        self.until(b"\r\n\r\n");
    }

    /// Whether it could be said.
    pub fn say(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).is_ok()
    }

    /// Waits, and then reads without a word until the other side closes. The wait lets what was said arrive before
    /// content that no buffer holds has ended.
    pub fn drain(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }

    /// Neither reads nor speaks; ends with the test's process at the latest.
    pub fn sleep_until_closed(&mut self) {
        std::thread::sleep(Duration::from_secs(60));
    }
}
