//! Checks `deploy/` with Prometheus' own tool.

use anyhow::Result;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Checks the configuration, the alert rules and the rules' tests.
pub fn check(workspace: &mut Workspace) -> Result<()> {
    let Some(prometheus) = setup::provide_prometheus(workspace)? else {
        return Ok(());
    };
    let promtool = prometheus.with_file_name("promtool");
    let folder = workspace.root.join("deploy/prometheus");
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let mut command = workspace.command(&promtool);
        process::capture(command.args(arguments).current_dir(&folder))?;
    }
    Ok(())
}
