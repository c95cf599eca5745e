//! The agents, and how each is told to work alone, without the internet, by a gateway.

use crate::world::{MODEL, workspace};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// An agent takes seconds to start, and a turn less than one.
const BOUND: Duration = Duration::from_secs(240);

/// The model calls a shell five times for this, one call a turn, and then answers.
const TASK: &str = "Write the file steps.txt, in five steps.";

/// Steps of every task.
pub const STEPS: usize = 5;

/// An agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// OpenAI's, by the Responses API.
    Codex,
    /// Anthropic's, by the Messages API.
    ClaudeCode,
    /// By Chat Completions, with tools.
    OpenCode,
    /// By Chat Completions, with edits in the text of answers.
    Aider,
}

/// Where an agent works, and for whom.
pub struct Place<'p> {
    /// The gateway's URL.
    pub gateway: &'p str,
    /// Where the caller is.
    pub country: &'p str,
    /// Its home directory.
    pub home: PathBuf,
    /// The directory that it works in.
    pub work: PathBuf,
}

impl Agent {
    /// All.
    pub const ALL: [Self; 4] = [Self::Codex, Self::ClaudeCode, Self::OpenCode, Self::Aider];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::ClaudeCode => "claude-code",
            Self::OpenCode => "opencode",
            Self::Aider => "aider",
        }
    }

    /// What it says in the end: the model's last answer.
    pub fn last_words(self) -> &'static str {
        match self {
            Self::Codex | Self::ClaudeCode | Self::OpenCode => "token7 [",
            Self::Aider => "Applied edit to steps.txt",
        }
    }

    /// Does the task, and gives what it said.
    ///
    /// # Errors
    /// It is not installed, does not end in time, or says that it failed.
    pub async fn work(self, place: &Place<'_>) -> Result<String> {
        match self {
            Self::Codex => codex(place).await,
            Self::ClaudeCode => claude_code(place).await,
            Self::OpenCode => opencode(place).await,
            Self::Aider => aider(place).await,
        }
    }
}

async fn codex(place: &Place<'_>) -> Result<String> {
    let (url, country) = (place.gateway, place.country);
    let config = format!(
        "model = \"{MODEL}\"
model_provider = \"meridian\"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.meridian]
name = \"Meridian\"
base_url = \"{url}/v1\"
wire_api = \"responses\"
env_key = \"GATEWAY_KEY\"
http_headers = {{ \"cf-ipcountry\" = \"{country}\" }}
request_max_retries = 0
stream_max_retries = 0
"
    );
    write(&place.home, ".codex/config.toml", &config)?;
    let mut command = place.command("node_modules/.bin/codex")?;
    command
        .args(["exec", "--skip-git-repo-check"])
        .arg("--dangerously-bypass-approvals-and-sandbox")
        .arg(TASK)
        .env("GATEWAY_KEY", "the-callers-own");
    run(command).await
}

async fn claude_code(place: &Place<'_>) -> Result<String> {
    let country = format!("cf-ipcountry: {}", place.country);
    let mut command = place.command("node_modules/.bin/claude")?;
    command
        .args(["-p", TASK, "--allowedTools", "Bash", "--model", MODEL])
        .env("ANTHROPIC_BASE_URL", place.gateway)
        .env("ANTHROPIC_API_KEY", "the-callers-own")
        .env("ANTHROPIC_CUSTOM_HEADERS", country)
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", MODEL)
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("CLAUDE_CODE_MAX_RETRIES", "0")
        .env("DISABLE_AUTOUPDATER", "1")
        .env("DISABLE_TELEMETRY", "1");
    run(command).await
}

async fn opencode(place: &Place<'_>) -> Result<String> {
    let config = json!({
        "autoupdate": false,
        "share": "disabled",
        "permission": { "bash": "allow" },
        "provider": { "meridian": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Meridian",
            "options": {
                "baseURL": format!("{}/v1", place.gateway),
                "apiKey": "the-callers-own",
                "headers": { "cf-ipcountry": place.country },
            },
            "models": { MODEL: { "name": MODEL } },
        }},
    });
    let mut command = place.command("node_modules/.bin/opencode")?;
    command
        .args(["run", "--model", &format!("meridian/{MODEL}"), TASK])
        .env("OPENCODE_CONFIG_CONTENT", config.to_string())
        .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
        .env("OPENCODE_DISABLE_PROJECT_CONFIG", "1")
        .env("OPENCODE_DISABLE_LSP_DOWNLOAD", "1")
        .env("OPENCODE_DISABLE_MODELS_FETCH", "1");
    run(command).await
}

/// It has no tools: five messages of one conversation, each answered with the whole file.
async fn aider(place: &Place<'_>) -> Result<String> {
    let headers = json!({ "extra_headers": { "cf-ipcountry": place.country } });
    let settings = json!([{ "name": format!("openai/{MODEL}"), "edit_format": "whole", "extra_params": headers }]);
    write(&place.home, "models.yml", &settings.to_string())?;
    let mut said = String::new();
    for step in 0..STEPS {
        let lines: String = (0..=step).map(|step| format!("step {step}\n")).collect();
        let answer = format!("steps.txt\n```\n{lines}```\n");
        let mut command = place.command("aider/bin/aider")?;
        command
            .args(["--model", &format!("openai/{MODEL}")])
            .args(["--openai-api-base", &format!("{}/v1", place.gateway)])
            .args(["--openai-api-key", "the-callers-own"])
            .arg("--model-settings-file")
            .arg(place.home.join("models.yml"))
            .args([
                "--yes-always",
                "--no-git",
                "--no-check-update",
                "--analytics-disable",
            ])
            .args([
                "--no-show-model-warnings",
                "--no-detect-urls",
                "--no-fancy-input",
                "--no-pretty",
            ])
            .args(["--restore-chat-history", "--message"])
            .arg(format!("Write a step. <answer>{answer}</answer>"))
            .arg("steps.txt")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        said += &run(command).await?;
    }
    Ok(said)
}

impl Place<'_> {
    /// A program of the agents' with nothing of this process's environment. Only the gateway can be reached: everything else goes by
    /// a proxy that is not there.
    fn command(&self, program: &str) -> Result<Command> {
        let tools = std::path::absolute(workspace().join(".tools/agents"))?;
        let program = tools.join(program);
        if !program.exists() {
            bail!(
                "{} is missing; run scripts/setup agents first",
                program.display()
            );
        }
        let host = self.gateway.trim_start_matches("http://");
        let host = host.split(':').next().context("no host")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", tools.join("node/bin").display());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.home)
            .env("TERM", "dumb")
            .env("NO_PROXY", host)
            .current_dir(&self.work)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(name, "http://127.0.0.1:9");
        }
        Ok(command)
    }
}

fn write(home: &Path, name: &str, text: &str) -> Result<()> {
    let path = home.join(name);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    Ok(std::fs::write(path, text)?)
}

/// Runs it to its end, and gives its output.
async fn run(mut command: Command) -> Result<String> {
    let output = timeout(BOUND, command.output()).await;
    let output = output.with_context(|| format!("no end after {BOUND:?}"))??;
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if !output.status.success() {
        bail!("{}:\n{out}\n{err}", output.status);
    }
    Ok(out.into_owned())
}
