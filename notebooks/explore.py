# %% [markdown]
# # Explore
# The table, the candidate's verdict and mistakes, and the runs so far. `make notebook` opens this in JupyterLab;
# VS Code shows *Run Cell* above each cell. Git holds this script; its pair `explore.ipynb`, with outputs, stays here.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from slipway.notebook import Project
from slipway.problem import SlipwayError

project = Project()
rows = project.rows()
rows.describe(include="all").T

# %% [markdown]
# ## The data, and what changed since the last commit

# %%
try:
    committed = project.rows("HEAD")
except SlipwayError as error:  # another table, before its first commit
    print(error)
    committed = rows.head(0)
pd.DataFrame({"committed": committed.count(), "here": rows.count()}).assign(
    change=lambda table: table["here"] - table["committed"]
)

# %%
# The first numbers, by class or against the target.
numbers = project.numbers[:6]
figure, every = plt.subplots(1, len(numbers) or 1, figsize=(12, 2.6), squeeze=False, layout="constrained")
for name, axes in zip(numbers, every[0], strict=False):
    if project.classes:
        groups = [rows.loc[rows[project.target] == label, name].dropna() for label in project.classes]
        axes.hist(groups, bins=15, stacked=True, label=[str(label) for label in project.classes])
    else:
        axes.scatter(rows[name], rows[project.target], s=4)
    axes.set_xlabel(name)
if project.classes and numbers:
    every[0][0].legend(title=project.target)

# %%
# The other features: rows of each value, missing values included.
others = [name for name in project.features if name not in project.numbers]
counts = {name: rows[name].value_counts(dropna=False).head(10).rename_axis(None) for name in others}
pd.concat(counts) if counts else "All features are numbers."

# %% [markdown]
# ## The candidate: the verdict, and the rows on which it is most wrong

# %%
verdict = project.verdict()
print(verdict.attrs["verdict"])
verdict

# %%
train, test = project.parts()
predicted = project.candidate().predict(test)
if project.classes:
    doubt = pd.Series(1.0, index=test.index)
    if predicted.probabilities is not None:
        doubt = pd.Series(predicted.probabilities.max(axis=1), index=test.index)
    mistakes = test.assign(predicted=predicted.labels, probability=doubt)
    mistakes = mistakes[mistakes["predicted"] != mistakes[project.target]].sort_values("probability", ascending=False)
else:
    mistakes = test.assign(predicted=predicted.values, error=lambda table: table["predicted"] - table[project.target])
    mistakes = mistakes.sort_values("error", key=abs, ascending=False)
mistakes.head(10)

# %% [markdown]
# ## The runs

# %%
runs = project.runs()
scores = [name for name in ("metrics.accuracy", "metrics.log_loss", "metrics.r2", "metrics.rmse") if name in runs]
if len(runs):
    runs.set_index("start_time")[scores].sort_index().plot(marker="o", subplots=True, figsize=(6, 2 * len(scores)))
runs[["start_time", *scores]].head(10) if len(runs) else "No run yet: `slipway run` records one."

# %% [markdown]
# ## From a finding to the project
# | Found | Put it into |
# |---|---|
# | a wrong or impossible value | a bound or a category in `src/project/schema.py` |
# | what must hold of the whole table | `src/project/expectations.py`, with rows on which it fails in `tests/data` |
# | a column that helps, or one that gives the answer away | `src/project/schema.py` and `data.py` |
# | a transformation that helps | the pipeline in `src/project/model.py` |
# | a mistake that must not happen | a test in `tests/model/test_behaviour.py` |
#
# Then `slipway run`: the gate says whether the model got better.
