"""The turn, step by step, each with the commands that a person would use, and what came of it in figures."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from demo.birds import BATCH, BATCHES_A_SECOND, DEEPER_MM, Answer, Traffic
from demo.clock import DAY_SECONDS
from demo.processes import await_event, call
from demo.service import Service
from demo.watch import Watch

EVERYDAY_SECONDS, AFTER_SECONDS = 15, 10
LEARNED = 1500  # birds measured with the new caliper, whose truth is learned from
COMPARED = 300  # birds that the shadow answered, too
TOLD = 300  # truths, about, that /feedback gets; the laboratory's file has all
TRUTH = ("id", "sex", "individual", "season", "sample")


@dataclass
class Turn:
    """One run. checkout: a scratch copy. truths: the laboratory's file. moments: what happened when."""

    checkout: Path
    truths: Path
    service: Service
    traffic: Traffic
    watch: Watch
    started: float = field(default_factory=time.time)
    moments: list[tuple[float, str]] = field(default_factory=list)

    def run(self) -> None:
        """Go once around. Raises SlipwayError where the world is not as told."""
        self.drift()
        self.learn()
        self.shadow()
        self.promote()

    def drift(self) -> None:
        """Everyday traffic, then birds measured with another caliper, until an alert says so."""
        self.say(f"The champion answers {BATCH * BATCHES_A_SECOND} rows a second: birds like those of the record")
        self.say(f"Prometheus {self.watch.url}/alerts and Alertmanager {self.watch.alertmanager} watch it with the")
        self.say(f"  shipped rules and routes, on a fast clock: a day passes in {DAY_SECONDS} seconds")
        self.traffic.start()
        await_event(lambda: time.time() > self.started + EVERYDAY_SECONDS, "everyday traffic")
        self.traffic.drift()
        self.moment("new calipers")
        self.say(f"The field teams get new calipers, which read {DEEPER_MM:g} mm more depth of every bill")
        self.alert("SlipwayFeatureDrift")

    def learn(self) -> None:
        """The truth arrives; rows are proposed, and a candidate is made of them."""
        await_event(lambda: len(self.measured(self.started)) >= LEARNED, "birds")
        answers = self.examined(self.started)
        right = sum(answer.said == answer.sex for answer in answers) / len(answers)
        self.moment("truth")
        self.say(f"The laboratory has examined {len(answers):,} such birds: the service was right about {right:.1%}")
        self.alert("SlipwayLiveAccuracyLow")
        self.slipway("labels", str(self.truths), *self.kept, "--no-track")
        learn = self.live["learn"]
        moved = [name for name, one in learn["drift"].items() if one["psi"] > one["limit"]]
        self.say(
            f"{learn['rows']:,} rows to learn from in {learn['part']}; moved since the training: {', '.join(moved)}"
        )
        self.say("A candidate is trained with them, validated, and judged on the test set ...")
        self.slipway("run", "--no-track")
        self.moment("candidate")
        self.judged()

    def shadow(self) -> None:
        """The candidate runs as a shadow, and live rows with their truth decide."""
        self.service.roll_over(shadow=self.checkout / "build/bundle", shadow_share=1)
        self.moment("shadow")
        self.say("The service rolls over: the champion answers, and the candidate answers the same rows as a shadow")
        since = time.time()
        agreed = 'sum(slipway_shadow_answers_total{agrees="true"})'
        answered = "sum(slipway_shadow_answers_total)"
        await_event(lambda: (self.watch.value(answered) or 0) >= COMPARED, "the shadow's answers")
        share = (self.watch.value(agreed) or 0) / (self.watch.value(answered) or 1)
        answers = self.examined(since)
        self.say(f"They agree on {share:.0%}. The laboratory has examined {len(answers):,} of these birds")
        self.slipway("labels", str(self.truths), *self.kept, "--no-track", "--no-learn")
        for model in self.live["models"]:
            score = model["scores"]["accuracy"]
            self.say(
                f"  {model['role']:<9} {model['version']}  live accuracy {score['value']:.1%} "
                f"({score['low']:.1%} to {score['high']:.1%}) on {model['rows']:,} rows"
            )
        self.slipway("gate", "--live")
        self.judged()

    def promote(self) -> None:
        """The candidate becomes the champion, the service rolls over, and the alerts clear."""
        self.slipway("promote")
        self.service.roll_over()
        self.moment("promoted")
        self.say("Promoted in one commit, and the service rolls over to it")
        since = time.time()
        self.watch.receiver.wait_resolved("SlipwayFeatureDrift")
        await_event(lambda: not self.watch.about_models(), "Alertmanager to have no alert about a model")
        self.moment("all clear")
        self.say("SlipwayFeatureDrift is resolved, and Alertmanager has no alert about a model any more")
        await_event(lambda: time.time() > since + AFTER_SECONDS, "traffic")
        answers = self.measured(since)
        right = sum(answer.said == answer.sex for answer in answers) / len(answers)
        self.say(f"The new champion is right about {right:.1%} of the next {len(answers):,} birds")
        self.moment("end")

    # --- what the steps are told with ---
    def say(self, text: str) -> None:
        """Announce, with the time since the start."""
        minutes, seconds = divmod(int(time.time() - self.started), 60)
        click.echo(f"[{minutes}:{seconds:02}] {text}")

    def moment(self, name: str) -> None:
        """Remember that something happened now."""
        self.moments.append((time.time(), name))

    def slipway(self, *arguments: str) -> None:
        """Run a command in the scratch copy."""
        click.secho(f"       $ slipway {' '.join(arguments)}", dim=True)
        call("slipway", *arguments, folder=self.checkout)

    def alert(self, name: str) -> None:
        """Wait for an alert, and announce it."""
        notice = self.watch.receiver.wait_firing(name)
        self.say(f"ALERT {name} fires, says Alertmanager to `{notice.receiver}`: {notice.annotations['description']}")

    def judged(self) -> None:
        """Announce the verdict, and what is not simply passed."""
        verdict = json.loads((self.checkout / "build/verdict.json").read_bytes())
        self.say(f"Verdict: {verdict['verdict']}")
        for reason in verdict["reasons"]:
            if reason["outcome"] != "pass" or reason["check"] in ("champion", "live"):
                self.say(f"  {reason['outcome']}  {reason['check']}: {reason['detail']}")

    @property
    def live(self) -> dict[str, Any]:
        """The last result of `slipway labels`."""
        found: dict[str, Any] = json.loads((self.checkout / "build/live.json").read_bytes())
        return found

    @property
    def kept(self) -> tuple[str, str]:
        """The option of `slipway labels` that says where the service keeps its predictions."""
        return "--predictions", str(self.service.kept)

    def measured(self, since: float) -> list[Answer]:
        """List the answers to birds that were measured with a new caliper since a time."""
        return [answer for answer in self.traffic.answers if answer.new_caliper and answer.time >= since]

    def examined(self, since: float) -> list[Answer]:
        """Have the laboratory examine such birds: its file tells of all, /feedback of some."""
        answers = self.measured(since)
        with self.truths.open("a", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(TRUTH)
            writer.writerows([getattr(answer, name) for name in TRUTH] for answer in answers)
        for answer in answers[:: max(len(answers) // TOLD, 1)]:
            self.service.feedback(answer.id, answer.sex)
        self.service.await_kept()
        return answers
