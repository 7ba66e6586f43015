//! What stands at the other end of a port on a socket: a virtual machine's network backend, on a
//! TAP in the namespace of a host. The TAP has no virtio-net header, so its frames are as the wire
//! would carry them, in both directions.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::UdpSocket,
    os::unix::net::{UnixDatagram, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use netlab::Namespace;

/// Octets of the largest frame on its way, and more.
const FRAME_OCTETS_MAX: usize = 64 * 1024;

/// How often a relay looks whether it is to end.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// A socket to the switch.
pub enum Cable {
    /// Each frame behind its length in four octets, the most significant first.
    Stream(UnixStream),
    /// A frame a datagram, and whom to send it to. As QEMU's it is not connected: what waits at
    /// one that is, the kernel does not count (net/unix/af_unix.c, `unix_dgram_sendmsg`).
    Dgram(UnixDatagram, PathBuf),
    /// The same by UDP.
    Udp(UdpSocket),
}

impl Cable {
    /// Gives up receiving after a while, to look about.
    fn set_timeout(&self) -> io::Result<()> {
        match self {
            Cable::Stream(socket) => socket.set_read_timeout(Some(STOP_INTERVAL)),
            Cable::Dgram(socket, _) => socket.set_read_timeout(Some(STOP_INTERVAL)),
            Cable::Udp(socket) => socket.set_read_timeout(Some(STOP_INTERVAL)),
        }
    }

    /// Waits until there is room: the switch never waits for us.
    fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = match self {
            Cable::Stream(socket) => {
                let length = (frame.len() as u32).to_be_bytes();
                let mut socket: &UnixStream = socket;
                socket.write_all(&[&length[..], frame].concat()).map(|()| frame.len())
            }
            Cable::Dgram(socket, path) => socket.send_to(frame, path),
            Cable::Udp(socket) => socket.send(frame),
        };
        assert_eq!(sent?, frame.len(), "whole or not at all");
        Ok(())
    }

    /// Hands over each frame that has come; what is not yet whole stays in `held`.
    fn recv(
        &self,
        room: &mut [u8],
        held: &mut Vec<u8>,
        mut frame: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match self {
            Cable::Stream(socket) => {
                let mut socket: &UnixStream = socket;
                let len = socket.read(room)?;
                held.extend(&room[..len]);
                let mut rest = &held[..];
                while let Some((length, behind)) = rest.split_first_chunk() {
                    let length = u32::from_be_bytes(*length) as usize;
                    let Some((whole, behind)) = behind.split_at_checked(length) else { break };
                    frame(whole);
                    rest = behind;
                }
                let taken = held.len() - rest.len();
                held.drain(..taken);
            }
            Cable::Dgram(socket, _) => {
                let len = socket.recv(room)?;
                frame(&room[..len]);
            }
            Cable::Udp(socket) => {
                let len = socket.recv(room)?;
                frame(&room[..len]);
            }
        }
        Ok(())
    }
}

/// A relay that runs until it is dropped.
pub struct Relay {
    namespace: Namespace,
    device: String,
    stop: Arc<AtomicBool>,
    threads: Option<(JoinHandle<()>, JoinHandle<()>)>,
}

impl Relay {
    /// Relays between a socket and a TAP that it makes in a namespace.
    pub fn start(cable: Cable, namespace: &Namespace, device: &str, mtu: u32) -> Relay {
        let tap = Arc::new(plain_tap(namespace, device, mtu));
        cable.set_timeout().unwrap();
        let (cable, stop) = (Arc::new(cable), Arc::new(AtomicBool::new(false)));
        let (ending, near, far) = (stop.clone(), tap.clone(), cable.clone());
        let to_host = thread::spawn(move || {
            let (mut room, mut held) = (vec![0; FRAME_OCTETS_MAX], Vec::new());
            while !ending.load(Ordering::Relaxed) {
                let received = far.recv(&mut room, &mut held, |frame| {
                    assert_eq!(near.send(frame).expect("the host takes it"), frame.len());
                });
                // The switch may come to its end before us.
                if received.is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                    return;
                }
            }
        });
        let to_switch = thread::spawn(move || {
            let mut room = vec![0; FRAME_OCTETS_MAX];
            // Until the TAP is deleted, or the switch has come to its end.
            while let Ok(len) = tap.recv(&mut room) {
                if cable.send(&room[..len]).is_err() {
                    return;
                }
            }
        });
        let (namespace, device) = (namespace.clone(), device.to_owned());
        Relay { namespace, device, stop, threads: Some((to_host, to_switch)) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some((to_host, to_switch)) = self.threads.take() else { return };
        self.stop.store(true, Ordering::Relaxed);
        let first = to_host.join();
        let _ = self.namespace.links().and_then(|mut links| links.delete(&self.device));
        let sound = first.and(to_switch.join()).is_ok();
        assert!(sound || thread::panicking(), "a relay does not fail");
    }
}

/// A TAP without a virtio-net header, up: so that from the first frame on it takes them.
fn plain_tap(namespace: &Namespace, device: &str, mtu: u32) -> tun::Device {
    let mut config = tun::Configuration::default();
    config.tun_name(device).layer(tun::Layer::L2).platform_config(|platform| {
        platform.ensure_root_privileges(false);
    });
    let tap = namespace.run(|| tun::create(&config)).unwrap().unwrap();
    let mut links = namespace.links().unwrap();
    links.set_mtu(device, mtu).unwrap();
    links.set_up(device).unwrap();
    tap
}
