"""The vocabulary of a label: 31 categories, five levels, three strategies.

This module is the only place where their names stand. It imports nothing of ours, so that every other
module may use it. `TAXONOMY` in the documentation explains how a prompt is labelled.
"""

from enum import IntEnum, StrEnum
from typing import Final


class Category(StrEnum):
    """What a prompt wants done: a task where it names one, else the subject that its answer needs."""

    LAW = "Law"
    BUSINESS = "Business"
    ECONOMICS = "Economics"
    BIOLOGY = "Biology"
    CHEMISTRY = "Chemistry"
    ENGINEERING = "Engineering"
    PHYSICS = "Physics"
    COMPUTER_SCIENCE = "Computer Science"
    MATHEMATICS = "Mathematics"
    SYNTAX_CHECK = "Syntax Check"
    CODE_GENERATION = "Code Generation"
    CODE_EXPLANATION = "Code Explanation"
    DEBUGGING_ASSISTANCE = "Debugging Assistance"
    ALGORITHM = "Algorithm"
    SYSTEM_DESIGN = "System Design"
    LANGUAGE_TRANSLATION = "Language Translation"
    SUMMARIZATION = "Summarization"
    CREATIVE_WRITING = "Creative Writing"
    TEXT_FORMATTING_EDITING = "Text Formatting & Editing"
    DATA_ANALYSIS = "Data Analysis"
    LOGIC = "Logic"
    GENERAL_KNOWLEDGE = "General Knowledge"
    FACTS = "Facts"
    HISTORY = "History"
    GEOGRAPHY = "Geography"
    PHILOSOPHY = "Philosophy"
    SOCIOLOGY = "Sociology"
    PSYCHOLOGY = "Psychology"
    ASTROLOGY = "Astrology"
    HEALTH = "Health"
    MISCELLANEOUS = "Miscellaneous"

    @property
    def meaning(self) -> str:
        """One sentence on what belongs here."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Category.LAW: "Statutes, contracts, rights, cases, compliance and legal procedure.",
    Category.BUSINESS: "Companies, management, marketing copy, sales, accounting, personal finance and careers.",
    Category.ECONOMICS: "Micro and macro theory, markets, money, trade, policy and econometric concepts.",
    Category.BIOLOGY: "Organisms, genetics, cells, ecology, evolution and anatomy as science.",
    Category.CHEMISTRY: "Reactions, stoichiometry, materials as chemistry and laboratory procedure.",
    Category.ENGINEERING: "Mechanical, electrical, civil, chemical and aerospace work, and technical repair.",
    Category.PHYSICS: "Mechanics, fields, heat, quanta, relativity and astronomy.",
    Category.COMPUTER_SCIENCE: "Concepts of computing, networks, databases, security, machine learning and tools.",
    Category.MATHEMATICS: "Arithmetic to research mathematics, statistics and probability, word problems, proofs.",
    Category.SYNTAX_CHECK: "Whether code, markup, a query or a configuration is valid, and where its grammar breaks.",
    Category.CODE_GENERATION: "Write, complete, port, refactor or extend code, tests, queries, scripts and commands.",
    Category.CODE_EXPLANATION: "Explain, comment, review or document given code, a command or an API construct.",
    Category.DEBUGGING_ASSISTANCE: "Error messages, stack traces, wrong behaviour, slow or failing code and set-ups.",
    Category.ALGORITHM: "Design, choose, compare, prove or analyse an algorithm or data structure.",
    Category.SYSTEM_DESIGN: "Architecture of software systems, schemas, APIs, scaling and technology choice.",
    Category.LANGUAGE_TRANSLATION: "Translate, transliterate or localise between languages.",
    Category.SUMMARIZATION: "A shorter version that stands for a text: key points, minutes, an abstract.",
    Category.CREATIVE_WRITING: "Stories, poems, lyrics, jokes, dialogue, role-play, names, speeches, personal letters.",
    Category.TEXT_FORMATTING_EDITING: "Proofread, rewrite, reformat, sort, label or pick parts out of a given text.",
    Category.DATA_ANALYSIS: "Analyse, interpret or chart data or a table, spreadsheets, experiment read-outs.",
    Category.LOGIC: "Riddles, puzzles, deduction, argument validity, fallacies and games such as chess.",
    Category.GENERAL_KNOWLEDGE: "Everyday explanations and how-to that belong to no listed subject.",
    Category.FACTS: "One specific, checkable datum outside the listed subjects.",
    Category.HISTORY: "Events, persons and periods of the past, their causes and consequences.",
    Category.GEOGRAPHY: "Places, countries, capitals, maps, climate and landforms.",
    Category.PHILOSOPHY: "Ethics, metaphysics, epistemology, thinkers and religion as thought.",
    Category.SOCIOLOGY: "Society, culture, politics, institutions, inequality, media and education as a system.",
    Category.PSYCHOLOGY: "Mind, behaviour, emotion, cognition, relationships and self-help.",
    Category.ASTROLOGY: "Horoscopes, zodiac, birth charts, tarot and numerology.",
    Category.HEALTH: "Medicine, symptoms, drugs, nutrition, fitness and public health.",
    Category.MISCELLANEOUS: "Small talk, questions about the assistant, live data or actions, fragments.",
}


class Level(IntEnum):
    """How much a good answer demands of a model: 1 any small model will do, 5 the strongest there is."""

    L1 = 1
    L2 = 2
    L3 = 3
    L4 = 4
    L5 = 5

    @property
    def title(self) -> str:
        """The level's published name."""
        return _LEVELS[self][0]

    @property
    def cost_tier(self) -> str:
        """Lowest, Low, Medium, High or Highest."""
        return _LEVELS[self][1]


_LEVELS: Final = {
    Level.L1: ("Foundational recall & direct task", "Lowest"),
    Level.L2: ("Integrated analysis & multi-step reasoning", "Low"),
    Level.L3: ("Complex synthesis & system design", "Medium"),
    Level.L4: ("Expert-level evaluation & advanced formulation", "High"),
    Level.L5: ("Novel synthesis & groundbreaking innovation", "Highest"),
}


class Strategy(StrEnum):
    """What to favour when several models would do."""

    CHEAPEST = "cheapest"
    BALANCED = "balanced"
    BEST = "best"
