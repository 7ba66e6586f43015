//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{FILTER_MAX, Model, Sort};

/// Does what a key says. `true`: it is the end.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> bool {
    if key.kind == KeyEventKind::Release {
        return false;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return key.code == KeyCode::Char('c');
    }
    if model.filtering {
        match key.code {
            KeyCode::Enter => model.filtering = false,
            KeyCode::Esc => {
                model.filtering = false;
                model.filter.clear();
            }
            KeyCode::Backspace => _ = model.filter.pop(),
            KeyCode::Char(c) if model.filter.chars().count() < FILTER_MAX => model.filter.push(c),
            _ => {}
        }
        return false;
    }
    match key.code {
        KeyCode::Char('q') => return true,
        KeyCode::Char('n') => model.sort = Sort::Name,
        KeyCode::Char('r') => model.sort = Sort::Received,
        KeyCode::Char('t') => model.sort = Sort::Sent,
        KeyCode::Char('d') => model.sort = Sort::Drops,
        KeyCode::Char('/') => model.filtering = true,
        KeyCode::Char('?' | 'h') => model.help = !model.help,
        KeyCode::Down | KeyCode::Char('j') => model.first += 1,
        KeyCode::Up | KeyCode::Char('k') => model.first = model.first.saturating_sub(1),
        KeyCode::Esc => {
            model.help = false;
            model.filter.clear();
        }
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_filter_help_and_end() {
        let mut model = Model::new(false);
        let mut press = |c| press(&mut model, KeyEvent::new(c, KeyModifiers::NONE));
        assert!(press(KeyCode::Char('q')));
        for c in ['d', '?', '/', 'q', 'x'] {
            assert!(!press(KeyCode::Char(c)), "what is typed as a filter is no command");
        }
        assert!(!press(KeyCode::Backspace) && !press(KeyCode::Enter));
        assert_eq!((model.sort, model.help, &*model.filter), (Sort::Drops, true, "q"));
        let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        model.filtering = true;
        assert!(super::press(&mut model, end), "Ctrl-C ends it whatever is typed");
        assert!(!super::press(&mut model, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)));
        assert_eq!((model.filtering, &*model.filter), (false, ""));
    }
}
