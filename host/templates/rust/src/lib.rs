//! Counts its runs, wherever each of them happens.

use silverback_guest::{Grant, RunError, config, state};

#[silverback_guest::job]
fn run(grant: Grant) -> Result<String, RunError> {
    let greeting = config::get("greeting").unwrap_or_else(|| "hello".to_owned());
    let runs = state::increment("runs", 1)?;
    log::info!("{greeting} from attempt {} of {}", grant.attempt, grant.run);
    Ok(format!("run {runs}"))
}

#[cfg(test)]
mod tests {
    use silverback_guest::testing::Stage;

    use super::*;

    #[test]
    fn runs_are_counted() {
        let stage = Stage::new().config("greeting", "good morning").state("runs", &41);
        assert_eq!(stage.run(|| run(stage.grant())).unwrap(), "run 42");
        assert_eq!(stage.kept::<u64>("runs"), Some(42));
        assert!(stage.lines()[0].message.starts_with("good morning from attempt 1"));
    }
}
