//! Who steers is answered by the loop that runs the switch, one request after the other.

use super::Running;
use crate::program::{
    control::{Asked, Control, Event as News, Listening, NAME_DEFAULT, Request, Steered},
    output,
};

impl Running<'_> {
    /// Lets it be steered. It forwards as well if that cannot be.
    pub(super) fn open_control(&mut self, listening: Result<Option<Listening>, String>) {
        match listening.and_then(|listening| listening.map(Control::serve).transpose()) {
            Ok(control) => self.control = control,
            Err(why) => output::warn(why),
        }
    }

    /// Answers who steers, up to as many as may ask at a time.
    pub(super) fn answer(&mut self) {
        let Some(control) = &self.control else { return };
        for asked in control.requests.try_iter().take(control.requests.len()).collect::<Vec<_>>() {
            match asked.request {
                Request::Reload {} => self.reload_for(&asked),
                Request::Monitor { .. } => self.listen(asked),
                _ => self.steer(asked),
            }
        }
    }

    /// Takes a wish to listen.
    fn listen(&mut self, asked: Asked) {
        if let Some(control) = &mut self.control {
            control.listen(asked);
        }
    }

    /// Does everything else that is asked.
    fn steer(&mut self, mut asked: Asked) {
        let config = self.options.control.as_ref();
        let mut steered = Steered {
            name: config.map_or(NAME_DEFAULT, |config| &config.name),
            allow_path: &self.options.words.allow_path,
            topology: &mut self.topology,
            router: &mut self.router,
            plugs: &mut self.plugs,
            handle: &mut self.handle,
            started: self.started,
            captures: &mut self.captures,
            changes: Vec::new(),
            news: Vec::new(),
        };
        let answer = match asked.socket.take() {
            // It has its answer on the connection that is its own now; this is for nobody.
            Some(socket) => {
                steered.capture(&asked.request, socket);
                Ok("{}".to_owned())
            }
            None => steered.answer(&asked.request),
        };
        let Steered { changes, news, .. } = steered;
        if let Some(control) = &self.control {
            control.answer(&asked, answer);
        }
        news.into_iter().for_each(|news| self.announce(news));
        changes.iter().for_each(|change| self.tell(change));
    }

    /// Tells what was done because somebody wanted it.
    pub(super) fn announce(&mut self, news: News) {
        output::tell(&news.text);
        if let Some(control) = &mut self.control {
            control.tell(news);
        }
    }
}
