"""What a person would notice in a prompt at a glance: requests by their wording, material by its form.

Each cue is a pattern and the words in which it is shown. Patterns run on the clipped, lower-cased head and
tail of a prompt only and have no nested repetition, so that no text can make them slow.
"""

import re
from typing import Final

_C: Final = (
    # ---- what is asked for
    ("asks for a translation", r"\btranslat|\btraduc|\btradui|übersetz|翻译|翻訳|번역|перевед|\bhow (?:do|would|can) (?:you|i) say\b|\b(?:in|into|to) (?:english|french|spanish|german|chinese|japanese|korean|italian|russian|arabic|hindi|latin|portuguese|dutch|turkish)\b"),
    ("asks for a summary", r"\bsummar|\btl;?dr\b|\bkey (?:points|takeaways)|\bcondense|\bgist\b|\bmain points?\b|\brésum|总结|概括|摘要|要約|요약|\bresum(?:e|ir|en)\b|zusammenfass"),
    ("asks to rewrite or correct a text", r"\bre-?write|\brephras|\bparaphras|\bproofread|\bgrammar|\bcorrect (?:the|this|my|any|all)|\bpolish|\bmake (?:this|it) (?:sound|more|less)|\bedit (?:this|the|my)|润色|改写|校对|添削"),
    ("asks for labels or parts of a text", r"\bclassif|\bcategori[sz]|\bextract|\bsentiment|\bentit(?:y|ies)|\blabel|\bidentify (?:the|all)|\bpositive or negative|\bconvert (?:this|the) (?:text|list|table)|\breformat|\bsort (?:the|this|these)|\bheadline"),
    ("asks for a story, poem or song", r"\bstor(?:y|ies)\b|\bpoem|\bpoetry|\blyrics?\b|\bsong\b|\bhaiku|\bsonnet|\blimerick|\bjoke|\bscreenplay|\bfan-?fic|\bdialogue\b|\bnovel\b|\bscene\b|\bmonologue|\bgedicht|\bpoema|\bcuento|故事|诗|小说|物語|俳句|소설|시를"),
    ("asks to play a part", r"\brole-?play|\bpretend|\bact as\b|\bimagine (?:you|that you)|\byou are (?:a|an|the|now)\b|\bpersona\b|\bas if you\b|扮演|你是一"),
    ("asks for code", r"\b(?:write|create|implement|build|make|generate|give me|develop|code) (?:\w+ ){0,5}(?:function|program|script|class|method|code|app|api|regex|query|component|bot|website|page|game|macro|dockerfile|command|snippet|module|plugin)\b"),
    ("names a programming language", r"\b(?:python|javascript|typescript|java|kotlin|swift|rust|golang|php|ruby|perl|matlab|sql|html|css|react|django|flask|node\.?js|bash|powershell|vba|excel vba|dart|flutter|scala|haskell|pandas|numpy|tensorflow|pytorch|arduino|verilog|lua|solidity|angular|vue|laravel|spring)\b|c\+\+|c#|\.net\b"),
    ("asks what code does", r"\b(?:explain|what does|describe|understand|comment|document|review) (?:\w+ ){0,4}(?:code|function|script|query|command|snippet|program|line|class|method|regex|output)|\bwhat (?:is|will be) the output|\bcode review"),
    ("reports that something does not work", r"\bnot work|\bdoesn'?t work|\bisn'?t working|\bwon'?t\b|\bfails?\b|\bfailing|\bfailed|\berrors?\b|\bbug(?:gy)?\b|\bcrash|\bbroken\b|\bexception|\bdebug|\bfix (?:the|this|my)|\bwhat(?:'s| is) wrong|\bproblem with|\bissue|\bcan'?t (?:get|make)|报错|エラー|오류"),
    ("looks like an error message or stack trace", r"\btraceback\b|\b\w{2,30}(?:error|exception)\b:|\bat [\w.$]{3,60}\(|\bsegfault|segmentation fault|\bundefined (?:is not|reference)|\bnullpointer|\bstack trace|\berror:|\bexit code \d|\berrno\b|\bline \d{1,6}\b"),
    ("asks whether syntax is valid", r"\bsyntax|\bvalid (?:json|yaml|xml|html|sql|python|css|regex)|\bmissing (?:a )?(?:bracket|brace|semicolon|comma|parenthes|quote|colon)|\blint|\bparse error|\bunexpected (?:token|indent|eof|end)|\bcompile"),
    ("speaks of algorithms or complexity", r"\balgorithm|\btime complexity|\bspace complexity|\bbig-?o\b|\bo\([\w^ ]{1,12}\)|\bdynamic programming|\bbinary (?:search|tree)|\bsorting|\bsort(?:ed)? (?:an )?array|\blinked list|\bshortest path|\bgreedy|\brecurs|\bleetcode|\bdata structure|\bdijkstra|\bhash ?map|\bgraph with|\bconstraints?:|算法|アルゴリズム|알고리즘"),
    ("speaks of a system's architecture", r"\barchitect|\bmicro-?service|\bscalab|\bscale\b|\bsystem design|\bdesign (?:a|an|the) (?:\w+ ){0,4}(?:system|service|api|schema|database|platform|pipeline|backend)|\bhigh availability|\bload balanc|\bmessage queue|\bkafka\b|\bschema\b|\buser stor(?:y|ies)\b|\bdata model\b|架构|系统设计"),
    ("brings data or asks for an analysis", r"\bdata ?set|\bdata ?frame|\bspreadsheet|\bexcel\b|\bpivot|\bchart|\bdashboard|\bcsv\b|\btable (?:below|above|shows)|\bregression|\bcorrelat|\ba/b test|\bp-value|\boutlier|\btrend|\banaly[sz]e (?:the|this|these) data|\bcolumn|\bgoogle sheets|数据"),
    ("asks for a proof or a derivation", r"\bprove\b|\bproof\b|\bderiv(?:e|ation)|\bshow that\b|\btheorem|\blemma|证明|証明|증명"),
    ("asks for a calculation", r"\bcalculat|\bcomput|\bsolve\b|\bsimplif|\bevaluate\b|\bintegral|\bderivative|\bequation|\bprobabilit|\bhow many (?:ways|different)|\bwhat is \d|\bsum of|\bpercent|\bfraction|\bfactor|求|计算|多少|いくつ"),
    ("contains formulas", r"\\frac|\\sum|\\int|\\begin|\$[^$\n]{1,80}\$|\b[xyzn] ?[=^<>] ?\d|\d ?[+*/\u00d7\u00f7^] ?\d|[∑∫√≤≥π∞]|\bmod \d"),
    ("is a riddle or a puzzle", r"\bpuzzle|\briddle|\blogic|\bsyllogis|\bfallac|\bpremise|\bconclusion\b|\bentail|\bhypothesis:|\btrue or false\b|\bknights? (?:and|or)|\bliar|\bdeduc|\bchess\b|\bsudoku|\bif all\b|\btruth[- ]teller|\bvalid argument|推理|谜|なぞなぞ"),
    ("asks for steps", r"\bhow (?:to|do i|can i|do you|would i|should i)\b|\bsteps?\b|\btutorial|\bguide\b|\bwalk me through|如何|怎么|どうすれば|방법|\bcomo\b|\bcomment\b|\bwie\b|как "),
    ("asks for an explanation", r"\bexplain|\bwhat (?:is|are|does)\b|\bwhy\b|\bdescribe\b|\btell me about|\bdifference between|\bcompare|\bwhat'?s the|解释|为什么|是什么|なぜ|とは|설명"),
    ("asks for one fact", r"\b(?:who|when|where|which|whose|whom)\b|\bhow (?:many|much|long|old|tall|far|big|often)\b|\bname of|\bwhat (?:year|day|date|time|country|city|color|colour)\b|谁|哪|何年|いつ|누구"),
    ("asks for an essay or a report", r"\bessay|\breport\b|\barticle\b|\bblog|\bpaper\b|\bthesis|\bliterature review|\b\d{2,4}[- ]words?\b|\bparagraphs?\b|作文|论文|文章"),
    ("asks for business writing", r"\be-?mail|\bcover letter|\bresume\b|\bjob (?:description|posting|interview)|\bmarketing|\badvert|\bslogan|\btagline|\bproduct description|\bbusiness plan|\bpitch|\bcustomer|\blinkedin|\bbrand|\bstart-?up|\bproposal|\bsales\b|\bcompany|\bbudget|\binvoice|营销|广告|公司"),
    ("asks for ideas", r"\bideas?\b|\bbrainstorm|\bsuggest|\brecommend|\btips\b|\blist of\b|\bgive me (?:\d+|some|a list)|\bcome up with|推荐|建议|おすすめ|추천"),
    ("offers answers to choose from", r"(?:^|\n) ?\(?a[).:] [^\n]{1,200}\n ?\(?b[).:]|\boptions?:|\bchoose (?:the|one|from)|\bmultiple[- ]choice|\bwhich of the following|以下|选项"),
    ("speaks to the assistant itself", r"\bare you\b|\bdo you (?:know|like|have|think|want|feel|ever)|\bwho (?:are|made|created) you|\byour (?:name|favorite|opinion|age|boss|creator)|\bcan you (?:hear|help|speak|be)\b|\bchat ?gpt|\bas an ai\b|你是谁|あなたは"),
    ("is a greeting or thanks", r"^(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night)|ok(?:ay)?|yo|sup|bye|lol|hola|bonjour|salut|hallo|ciao|привет|你好|您好|こんにちは|안녕)\b"),
    ("wants an action or live data", r"\b(?:set|turn|play|book|order|call|remind|schedule|open|send|cancel|check|track|find me|show me) (?:\w+ ){0,3}(?:alarm|timer|reminder|flight|music|song|hotel|table|taxi|lights?|volume|meeting|calendar|weather|account|balance|restaurant|tickets?|price)|\bweather\b|\btoday\b|\btonight\b|\bcurrent(?:ly)?\b|\blatest\b|\bnews\b|\bnear me\b"),
    ("speaks of law", r"\blaws?\b|\blegal|\bcourt\b|\bcontract|\bstatute|\battorney|\blawyer|\bliab|\bsue\b|\bplaintiff|\bdefendant|\bregulation|\bcompliance|\bvisa\b|\bgdpr|\blicen[cs]e|法律|合同|律师"),
    ("speaks of health", r"\bsymptom|\bdisease|\bdoctor|\bpatient|\bmedic|\bdose|\bdiet|\bcalor|\bvitamin|\bworkout|\bexercise (?:routine|plan)|\bcancer|\bpain\b|\btreatment|\bnurs|\bclinical|\bhealth|症状|医|药|病"),
    ("speaks of economics", r"\beconom|\binflation|\bgdp\b|\bsupply and demand|\bmonetary|\bfiscal|\binterest rates?|\bmarket (?:structure|failure|equilibrium)|\btariff|\belasticity|\bunemployment|\bmonopol|\bfederal reserve|\bcentral bank|\bstock market|经济|通货膨胀"),
    ("speaks of the stars as signs", r"\bhoroscope|\bzodiac|\btarot|\bbirth chart|\bnatal|\bastrolog|\bnumerolog|\b(?:aries|taurus|gemini|virgo|libra|scorpio|sagittarius|capricorn|aquarius|pisces)\b|\bmercury retrograde|星座|占星|塔罗|운세"),
    ("speaks of feelings or relationships", r"\bfeel(?:ing|s)?\b|\banxi|\bdepress|\bstress|\brelationship|\bgirlfriend|\bboyfriend|\bmy (?:wife|husband|partner|friend|mom|dad)|\btherap|\bpsycholog|\bemotion|\bmotivat|\bconfiden|\blonely|心理|焦虑"),
    ("asks for something unheard of", r"\bnovel (?:\w+ ){0,2}(?:approach|method|theory|framework|algorithm|protocol)|\bopen (?:problem|question)|\bstate[- ]of[- ]the[- ]art|\bgroundbreaking|\bunsolved|\bnew (?:theory|paradigm|protocol|branch)|\bbeyond (?:current|known|existing)|\bunif(?:y|ied) theor"),
    ("sets conditions on the answer", r"\bmust (?:not|be|have|include|contain)|\bshould (?:not|be|have|include|contain)|\bwithout (?:using|any)|\bat least \d|\bno more than|\bexactly \d|\bmake sure|\bensure|\brequirements?\b|\bdo not\b|\bonly use|\binclude\b"),
    ("gives material after an instruction", r"\binput:|\btext:|\bpassage:|\bsentence:|\bparagraph:|\barticle:|\bcontext:|\bquestion:|\bcode:|\bdata:|:\n\n|:\n\""),
    ("speaks of society or politics", r"\bsocial\b|\bsociet|\bpolitic|\bgovernment|\bdemocra|\bgender|\bracis|\binequalit|\bculture|\belection|\bpresident|\bmedia\b|\bimmigra|\bfeminis|社会|政治"),
    ("speaks of engineering", r"\bcircuit|\bvoltage|\bmotor\b|\bengine\b|\bbeam\b|\bbolt|\bweld|\bpump|\bvalve|\bhvac|\bconcrete|\bsteel\b|\btorque|\bplc\b|\bmanufactur|\brepair|\bwiring|\bmechanical|\belectrical|\bengineer|\bsolar panel|\bbattery|电路|机械|工程"),
)  # fmt: skip

CUES: Final = tuple((words, re.compile(pattern, re.IGNORECASE)) for words, pattern in _C)
"""The words that a person is shown, and the pattern that must be found."""
