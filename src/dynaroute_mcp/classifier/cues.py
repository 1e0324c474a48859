"""What a person would notice in a prompt at a glance: requests by their wording, material by its form.

A cue is found by its words, by a form that a pattern describes, or by both. Words are looked up, so that many
cost little; patterns are few, run on the clipped, lower-cased text only and repeat nothing without a bound.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

# Shown words, then what finds them: `word`, `stem*`, `two_words`, `two_stem*`; or any `part` of a text in a
# script without spaces. The order is the model's: a fit binds the weights to it.
_WORDS: Final = (
    (
        "asks for a translation",
        "translat* traduc* tradui* traducción übersetz* перевед* you_say i_say in_english into_english "
        "to_english in_french into_french to_french in_spanish into_spanish to_spanish in_german "
        "into_german to_german in_chinese into_chinese in_japanese into_japanese in_italian to_italian "
        "in_arabic into_arabic in_latin",
        "翻译 翻訳 번역 英文",
    ),
    (
        "asks for a summary",
        "summar* condens* gist tl tldr key_point* key_takeaway* main_point* main_idea* résum* resum* "
        "zusammenfass*",
        "总结 概括 摘要 要約 요약",
    ),
    (
        "asks to rewrite or correct a text",
        "rewrit* rephras* paraphras* proofread* grammar polish* reword* correct_the correct_this "
        "correct_my make_this make_it edit_this edit_the edit_my re_write sound_more",
        "润色 改写 校对 添削 고쳐",
    ),
    (
        "asks for labels or parts of a text",
        "classif* categori* extract* sentiment entity entities label* reformat* headline* identify_the "
        "identify_all positive_or convert_the convert_this sort_the sort_these part_of parts_of "
        "following_sentence* given_sentence* given_text",
        "",
    ),
    (
        "asks for a story, poem or song",
        "story stories poem* poetry lyric* song haiku sonnet* limerick* joke* screenplay monologue* "
        "novel scene fanfic* script_of cuento* poema* gedicht* histoire* short_story",
        "故事 诗 小说 物語 俳句 소설 작문",
    ),
    (
        "asks to play a part",
        "pretend persona roleplay role_play act_as you_are imagine_you imagine_that as_if take_on the_role",
        "扮演 你是一 あなたは なりきって",
    ),
    (
        "names a programming language",
        "python javascript typescript java kotlin swift rust golang php ruby perl matlab sql mysql html "
        "css react django flask nodejs bash powershell vba dart flutter scala haskell pandas numpy "
        "tensorflow pytorch arduino verilog lua solidity angular vue laravel spring hibernate jquery "
        "linq wordpress drupal",
        "",
    ),
    (
        "reports that something does not work",
        "fails fail failing failed crash* exception* debug* issue issues error errors bug bugs buggy "
        "broken not_work* doesn_t isn_t won_t can_t fix_the fix_this fix_my problem_with wrong_with "
        "not_found keeps_* stopped_*",
        "报错 エラー 오류 无法",
    ),
    (
        "asks whether syntax is valid",
        "syntax lint compile* parse valid_json valid_yaml valid_xml valid_html valid_sql valid_python "
        "missing_bracket missing_semicolon missing_comma missing_quote unexpected_token "
        "unexpected_indent",
        "语法",
    ),
    (
        "speaks of algorithms or complexity",
        "algorithm* sorting greedy recurs* leetcode dijkstra time_complexity space_complexity big_o "
        "dynamic_programming binary_search binary_tree sorted_array linked_list shortest_path "
        "data_structure* hash_map hashmap time_limit input_format output_format sample_input",
        "算法 アルゴリズム 알고리즘",
    ),
    (
        "speaks of a system's architecture",
        "architect* scalab* scale kafka schema microservice* system_design high_availability "
        "load_balanc* message_queue user_stor* data_model design_a design_an design_the "
        "acceptance_criteria",
        "架构 系统设计 設計",
    ),
    (
        "brings data or asks for an analysis",
        "spreadsheet* pivot chart* dashboard* regression* correlat* outlier* trend* column* excel csv "
        "dataset* dataframe* data_set data_frame data_from table_below table_shows p_value "
        "google_sheets analyze_the analyse_the",
        "数据 データ",
    ),
    (
        "asks for a proof or a derivation",
        "prove proof* derive derivation* theorem* lemma show_that",
        "证明 証明 증명",
    ),
    (
        "asks for a calculation",
        "calculat* comput* simplif* integral* derivative* equation* probabilit* percent* fraction* "
        "factor* solve evaluate find_x sum_of how_many value_of",
        "求 计算 多少 いくつ",
    ),
    (
        "is a riddle or a puzzle",
        "puzzle* riddle* logic* syllogis* fallac* premise* entail* liar deduc* sudoku conclusion* chess "
        "knights hypothesis plausible true_or if_all truth_teller valid_argument tells_the",
        "推理 谜 なぞなぞ",
    ),
    (
        "asks for steps",
        "tutorial* steps step guide como comment wie how_to how_do how_can how_would how_should walk_me",
        "如何 怎么 どうすれば 방법",
    ),
    (
        "asks for an explanation",
        "explain* compare why describe* what_is what_are what_does tell_me difference_between what_s "
        "pourquoi warum por_qué",
        "解释 为什么 是什么 なぜ とは 설명",
    ),
    (
        "asks for one fact",
        "who when where which whose whom how_many how_much how_long how_old how_tall how_far how_big "
        "name_of what_year what_day what_date what_country what_city",
        "谁 哪 何年 いつ 누구",
    ),
    (
        "asks for an essay or a report",
        "essay* blog* thesis report article paper paragraph paragraphs literature_review position_paper "
        "word_essay",
        "作文 论文 文章",
    ),
    (
        "asks for business writing",
        "marketing advert* slogan* tagline* pitch* customer* linkedin brand* proposal* company budget* "
        "invoice* resume sales email startup cover_letter job_description job_interview "
        "product_description business_plan",
        "营销 广告 公司 メール 이메일",
    ),
    (
        "asks for ideas",
        "brainstorm* suggest* recommend* idea ideas tips list_of give_me come_up",
        "推荐 建议 おすすめ 추천",
    ),
    (
        "speaks to the assistant itself",
        "are_you do_you your_name your_favorite your_opinion your_age created_you made_you can_you "
        "chatgpt chat_gpt an_ai",
        "你是谁 あなたの名前",
    ),
    (
        "wants an action or live data",
        "weather today tonight tomorrow currently current latest news nearby remind* alarm timer "
        "near_me find_me show_me book_a set_a turn_on turn_off turn_the play_some my_account "
        "my_calendar price_of stock_price",
        "天气 今天 明日",
    ),
    (
        "speaks of law",
        "legal* contract* statute* attorney* lawyer* liab* plaintiff* defendant* regulation* compliance "
        "gdpr licence license law laws court* sue visa* jurisdiction*",
        "法律 合同 律师 弁護士 법",
    ),
    (
        "speaks of health",
        "symptom* disease* doctor* patient* medic* dose diet* calor* vitamin* workout* cancer "
        "treatment* nurs* clinical* health* pain infection*",
        "症状 医 药 病 健康",
    ),
    (
        "speaks of economics",
        "econom* inflation* monetary fiscal tariff* elasticit* unemployment monopol* gdp supply_and "
        "interest_rate* federal_reserve central_bank stock_market",
        "经济 通货膨胀 経済 경제",
    ),
    (
        "speaks of the stars as signs",
        "horoscope* zodiac* tarot natal astrolog* numerolog* aries taurus gemini virgo libra scorpio "
        "sagittarius capricorn aquarius pisces birth_chart mercury_retrograde",
        "星座 占星 塔罗 운세",
    ),
    (
        "speaks of feelings or relationships",
        "anxi* depress* stress* relationship* girlfriend* boyfriend* therap* psycholog* emotion* "
        "motivat* confiden* lonely feeling feels feel my_wife my_husband my_partner my_friend my_mom "
        "my_dad",
        "心理 焦虑 気持ち",
    ),
    (
        "asks for something unheard of",
        "groundbreaking unsolved novel_approach novel_method novel_theory novel_framework "
        "novel_algorithm open_problem open_question new_theory new_paradigm beyond_current beyond_known "
        "unified_theor*",
        "未解决",
    ),
    (
        "sets conditions on the answer",
        "ensure* requirement* include must_not must_be must_have must_include should_be should_have "
        "should_include without_using at_least no_more make_sure do_not only_use no_longer",
        "必须 要求",
    ),
    (
        "gives material after an instruction",
        "passage following_text following_paragraph following_article text_below code_below "
        "following_code given_the below_is here_is",
        "以下 下面 次の 다음",
    ),
    (
        "speaks of society or politics",
        "social societ* politic* government* democra* gender* racis* inequalit* cultur* election* "
        "president* media immigra* feminis*",
        "社会 政治 사회",
    ),
    (
        "speaks of engineering",
        "circuit* voltage* motor* engine beam* bolt* weld* pump* valve* hvac concrete steel torque plc "
        "manufactur* repair* wiring mechanical electrical engineer* solar_panel* batter*",
        "电路 机械 工程 モーター",
    ),
)

# Each alternative begins with a letter or sign of its own, so that a search skips what no form begins with.
_FORMS: Final = (
    (
        "asks for code",
        r"\b(?:write|create|implement|build|make|generate|give me|develop|code)(?: [\w+#.-]{1,20}){0,5} (?:function|"
        r"program|script|class|method|code|app|api|regex|query|component|bot|website|page|"
        r"game|macro|command|snippet|module)\b",
    ),
    (
        "asks what code does",
        r"\b(?:explain|what does|describe|understand|comment|document|review)(?: [\w+#.-]{1,20}){0,4} (?:code|"
        r"function|script|query|command|snippet|program|line|class|method|regex|output)\b",
    ),
    (
        "looks like an error message or stack trace",
        r"traceback|(?:error|exception)\b ?:|\n *at [\w.$<>]{3,60}\(|segfault|segmentation fault|"
        r"undefined (?:is not|reference)|stack trace|exit code \d|\bline \d{1,6}\b",
    ),
    (
        "contains formulas",
        r"\\frac|\\sum|\\int|\\begin|\$[^$\n]{1,80}\$|\d ?[+*/\u00d7\u00f7^=] ?[\da-z]|[\u2211\u222b\u221a\u2264\u2265\u03c0\u221e]",
    ),
    (
        "offers answers to choose from",
        r"[\n (]a[).:] ?[^\n]{1,120}[\n (]b[).:]|options:|which of the following|"
        r"choose the",
    ),
    (
        "is a greeting or thanks",
        r"^\s?(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night)|ok(?:ay)?|"
        r"yo|sup|bye|lol|hola|bonjour|salut|hallo|ciao|привет|你好|您好|こんにちは|안녕)\b",
    ),
    (
        "contains code",
        r"```|[;{]\s?\n|def \w{1,40}\(|function\b ?\w{0,40}\(|=> ?[{(]|</\w{1,20}>|import \w|"
        r"#include|select\b[^\n]{1,80}\bfrom\b|public (?:class|static|void)",
    ),
    (
        "gives input after a label",
        r"\b(?:input|text|passage|sentence|paragraph|article|context|question|code|data|review|"
        r"tweet|email): ?|:\n\n?",
    ),
)

CUES: Final = (*(shown for shown, _, _ in _WORDS), *(shown for shown, _ in _FORMS))
"""The words in which each cue is shown, in the order of their numbers."""

_STEM_SIZES: Final = range(3, 11)
_LONGEST: Final = 24
"""Letters of a word that are looked at: more than any cue has."""
_PATTERNS: Final = tuple(
    (len(_WORDS) + number, re.compile(pattern)) for number, (_, pattern) in enumerate(_FORMS)
)


def _lookup(*, stems: bool) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, (_, entries, _) in enumerate(_WORDS):
        for entry in entries.split():
            if entry.endswith("*") == stems:
                key = entry.rstrip("*").replace("_", " ")
                found[key] = (*found.get(key, ()), number)
    return found


_EXACT: Final = _lookup(stems=False)
_STEMS: Final = _lookup(stems=True)
_PAIR_HEADS: Final = frozenset(key.split(" ")[0] for key in (*_EXACT, *_STEMS) if " " in key)
_SHORTEST_STEM: Final = min(len(key) for key in _STEMS if " " not in key)
_STEM_HEADS: Final = frozenset(key[:_SHORTEST_STEM] for key in _STEMS if " " not in key)
_PARTS: Final = tuple((part, number) for number, (_, _, parts) in enumerate(_WORDS) for part in parts.split())


def find_cues(lowered: str, words: Sequence[str], *, wide: bool) -> list[int]:
    """Numbers of the cues in a lower-cased text, ascending.

    `words` are its words in order; `wide` tells whether it holds a script that is written without spaces.
    """
    found: set[int] = set()
    previous = ""
    for word in words:
        found.update(_of(word[:_LONGEST]))
        if previous in _PAIR_HEADS:
            found.update(_of_pair(previous, word[:_LONGEST]))
        previous = word
    if wide:
        found.update(number for part, number in _PARTS if part in lowered)
    found.update(number for number, pattern in _PATTERNS if pattern.search(lowered))
    return sorted(found)


@lru_cache(maxsize=4096)
def _of(word: str) -> frozenset[int]:
    """Cues of a word; the same few thousand make up most prompts."""
    sizes = _STEM_SIZES if word[:_SHORTEST_STEM] in _STEM_HEADS else ()
    return frozenset(chain(_EXACT.get(word, ()), *(_STEMS.get(word[:size], ()) for size in sizes)))


@lru_cache(maxsize=4096)
def _of_pair(one: str, two: str) -> frozenset[int]:
    """Cues of two words side by side, the first of which begins some pair."""
    stems = (_STEMS.get(f"{one} {two[:size]}", ()) for size in _STEM_SIZES)
    return frozenset(chain(_EXACT.get(f"{one} {two}", ()), *stems))
