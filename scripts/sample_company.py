"""The content of the sample documents: one invented company, described consistently by all of them.

Kestrel Bay Instruments, its people, places, customers and numbers are invented. The documents refer to the same facts
on purpose: the drift at Eastmere is in the e-mail, the calibrations, the letter, the report and the slides, so that
search and graph have something to join.
"""

from dataclasses import dataclass

COMPANY = "Kestrel Bay Instruments"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


Table = tuple[tuple[str, ...], ...]  # rows of cells, the first is the header

REPORT_TITLE = "Annual Report 2025"
REPORT_PAGE_1 = (
    Section(
        "The year in brief",
        (
            "Kestrel Bay Instruments builds instruments that watch the sea. Ines Halvorsen founded the company in "
            "Morrow Haven in 2009; at the end of 2025 it employed 112 people, nine more than a year before. Revenue "
            "grew from 15.9 to 18.4 million euros.",
            "The most important event of the year was the launch of the Heron wave buoy in May. The most costly one "
            "was the drift of tide gauges at Eastmere in March, which led to the retrofit described on page 2.",
        ),
    ),
    Section(
        "How the TG-40 works",
        (
            "The TG-40 tide gauge hangs under a pier and measures the distance to the water by radar, 120 times a "
            "minute, to within 2 millimetres over a range of 20 metres. Brightwater Sensors in Port Alder makes its "
            "radar head. One battery lasts for 14 months.",
        ),
    ),
)
REPORT_CAPTION = "Figure 1: The TG-40 tide gauge and its parts."
REPORT_PAGE_2 = (
    Section(
        "Results by product",
        (
            "All amounts are in million euros. Service is the business with spare parts, calibration and support "
            "contracts; it earns a quarter of the revenue.",
        ),
    ),
    Section(
        "The drift at Eastmere",
        (
            "On 14 March 2025 gauge TG40-0117 at Eastmere reported a sea level that was 11 millimetres too high. Salt "
            "water had crept through the cable gland into the radar head. Priya Raman, head of quality, stopped all "
            "deliveries for nine days. Revision C of the gauge has a potted cable gland; all 64 gauges built with the "
            "old one were retrofitted by 30 June at a cost of 210,000 euros.",
        ),
    ),
    Section(
        "Outlook",
        (
            "In 2026 the company will open a service station in Port Alder and begin to sell the Plover, a small tide "
            "gauge for less than 900 euros. It expects a revenue of 21 million euros.",
        ),
    ),
)
RESULTS: Table = (
    ("Product", "2024", "2025"),
    ("TG-40 tide gauge", "11.6", "11.8"),
    ("Heron wave buoy", "0.0", "2.0"),
    ("Service", "4.3", "4.6"),
    ("Total", "15.9", "18.4"),
)

HANDBOOK_TITLE = "Employee Handbook"
HANDBOOK_WORK = (
    Section(
        "Working hours and leave",
        (
            "The working week has 37.5 hours. Core time, when everybody can be reached, is from ten to three. Up to "
            "three days a week may be worked from home after the first two months.",
            "Everybody has 30 days of paid leave a year. Ask your team lead at least two weeks before a leave of more "
            "than three days. Unused days may be taken until the end of March.",
        ),
    ),
    Section(
        "Who leads what",
        (
            "Ines Halvorsen is managing director. Tomas Okafor leads engineering, Priya Raman leads quality, and Leon "
            "Marchetti leads customer support.",
        ),
    ),
)
HANDBOOK_TRAVEL = (
    Section(
        "Travel and expenses",
        (
            "Take the train where it needs less than five hours. Hotels are paid up to 140 euros a night. Hand in "
            "receipts within 30 days after the journey; later ones need the signature of the managing director.",
            "The daily allowance depends on where you are:",
        ),
    ),
)
ALLOWANCES: Table = (
    ("Where", "Allowance a day", "Breakfast included"),
    ("At home", "28 euros", "minus 6 euros"),
    ("Abroad", "46 euros", "minus 9 euros"),
    ("On board a ship", "60 euros", "no deduction"),
)
HANDBOOK_SAFETY = (
    Section(
        "Safety at sea",
        (
            "Nobody works on a buoy or under a pier alone. Two people go, one of them stays ashore or on deck and "
            "keeps watch. Life vests are worn from the moment you step on the jetty.",
            "The person on watch makes a radio check every 30 minutes on channel 72. After two missed checks call the "
            "coast guard first and the office second.",
        ),
    ),
    Section(
        "When the weather turns",
        (
            "Field work stops when the wind exceeds 12 metres a second or the waves exceed 1.5 metres. The decision "
            "of the person on watch is final; no delivery date outweighs it.",
        ),
    ),
)

ONBOARDING = """\
# Your first week at Kestrel Bay Instruments

Welcome to Morrow Haven. This page tells you what happens in your first five days.

## Day one

Leon Marchetti or somebody of his team meets you at the door at nine. You get a laptop, a key and a mentor. The
mentor is never your team lead, so that you can ask anything.

## Days two and three

You take a TG-40 apart and put it together again, whatever your job is. Tomas Okafor runs this workshop himself;
bring old clothes.

## Days four and five

- Read the chapter on safety at sea in the employee handbook and sign it.
- Visit the test tank in hall 3. The tank is four metres deep; it is where every gauge is calibrated.
- Have lunch with Ines Halvorsen, who asks every newcomer what we do badly.

## How we release firmware

A new firmware is released every six weeks and named after a seabird. The current one is **Gannet**; the next will
be **Fulmar**. A release that touches the radar processing needs the approval of Priya Raman:

| release | date | what changed |
|---|---|---|
| Dunlin | 2025-08-18 | lower power use at night |
| Eider | 2025-09-29 | wave spectra for the Heron buoy |
| Gannet | 2025-11-10 | temperature correction of the radar head |
"""

SUPPORT_HTML = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Support and warranty</title></head>
<body>
<h1>Support and warranty</h1>
<p>Customer support of Kestrel Bay Instruments is led by Leon Marchetti and answers in English and Norwegian.</p>
<h2>Warranty</h2>
<p>The warranty of a TG-40 tide gauge is five years, that of a Heron wave buoy three years. It covers the drift of
the radar head beyond 5 millimetres. It does not cover damage by anchors, ice or birds.</p>
<h2>Support contracts</h2>
<table>
<tr><th>Contract</th><th>Answer within</th><th>Spare gauge</th><th>Price a year</th></tr>
<tr><td>Bronze</td><td>3 working days</td><td>none</td><td>400 euros</td></tr>
<tr><td>Silver</td><td>1 working day</td><td>sent within a week</td><td>1,100 euros</td></tr>
<tr><td>Gold</td><td>4 hours</td><td>kept at the harbour</td><td>2,900 euros</td></tr>
</table>
<p>The Harbour Authority of Eastmere and Norrland Ferry Lines have gold contracts.</p>
<h2>Sending a gauge back</h2>
<ol>
<li>Write down the serial number; it is engraved beside the cable gland.</li>
<li>Rinse the gauge with fresh water and let it dry for a day.</li>
<li>Pack it with the radar head upwards and send it to hall 2 in Morrow Haven.</li>
</ol>
</body>
</html>
"""

EMAIL = """\
From: Leon Marchetti <leon.marchetti@kestrelbay.example>
To: Priya Raman <priya.raman@kestrelbay.example>
Cc: Tomas Okafor <tomas.okafor@kestrelbay.example>
Date: Fri, 14 Mar 2025 16:42:00 +0100
Subject: Drift of TG40-0117 at Eastmere
Message-ID: <20250314.0117@kestrelbay.example>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

Priya,

Agnes Lindqvist called at three. Gauge TG40-0117 on the east mole shows 11 millimetres more than the staff gauge
beside it, and the difference has been growing since Monday. Their pilots noticed it, not our monitoring.

Our diver opened the housing on the spot: salt crystals in the cable gland, moisture on the radar head. I think that
every gauge with the old gland can get this. Please decide whether we stop deliveries.

Eastmere has a gold contract, so the spare gauge TG40-0098 is already in place and reads correctly.

Leon
"""

CALIBRATIONS: Table = (
    ("serial", "model", "site", "date", "offset_mm", "technician", "result"),
    ("TG40-0098", "TG-40", "Eastmere", "2025-03-14", "0.4", "Mira Solheim", "pass"),
    ("TG40-0117", "TG-40", "Eastmere", "2025-03-17", "11.0", "Mira Solheim", "fail"),
    ("TG40-0117", "TG-40 rev C", "Eastmere", "2025-03-31", "0.6", "Mira Solheim", "pass"),
    ("TG40-0121", "TG-40", "Isle of Carrow", "2025-04-08", "3.9", "Jonas Brandt", "pass"),
    ("TG40-0130", "TG-40", "Port Alder", "2025-04-22", "6.2", "Jonas Brandt", "fail"),
    ("TG40-0130", "TG-40 rev C", "Port Alder", "2025-05-06", "0.3", "Jonas Brandt", "pass"),
    ("HERON-003", "Heron", "Skarvik Bank", "2025-06-12", "1.8", "Mira Solheim", "pass"),
    ("TG40-0144", "TG-40 rev C", "Eastmere", "2025-06-24", "0.5", "Mira Solheim", "pass"),
)

SALES: Table = (
    ("Quarter", "TG-40", "Heron", "Service", "Total"),
    ("Q1 2025", "3.0", "0.0", "1.1", "4.1"),
    ("Q2 2025", "2.9", "0.4", "1.1", "4.4"),
    ("Q3 2025", "2.9", "0.7", "1.2", "4.8"),
    ("Q4 2025", "3.0", "0.9", "1.2", "5.1"),
)
CUSTOMERS: Table = (
    ("Customer", "Place", "TG-40 gauges", "Heron buoys", "Contract", "Runs until"),
    ("Harbour Authority of Eastmere", "Eastmere", "38", "1", "gold", "2028-12-31"),
    ("Norrland Ferry Lines", "Skarvik", "21", "4", "gold", "2027-06-30"),
    ("Isle of Carrow Council", "Isle of Carrow", "6", "0", "silver", "2026-09-30"),
    ("Port Alder Marina", "Port Alder", "3", "0", "bronze", "2026-04-30"),
)

LETTER = (
    "HARBOUR AUTHORITY OF EASTMERE",
    "East Mole 1, Eastmere",
    "",
    "2 April 2025",
    "",
    "To Kestrel Bay Instruments, Morrow Haven",
    "",
    "Repair of gauge TG40-0117",
    "",
    "Dear Ms Halvorsen,",
    "",
    "we have compared the repaired gauge with our",
    "staff gauge for 48 hours and found no difference",
    "above 1 millimetre. We accept the repair.",
    "",
    "Thank you for the open words about the cable",
    "gland. We order twelve more TG-40 gauges of",
    "revision C for the inner harbour, which will then",
    "have 38. Please deliver them before 15 September.",
    "",
    "Yours sincerely,",
    "Agnes Lindqvist",
    "Harbour Master",
)


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide with bullets, a table, or a picture."""

    title: str
    bullets: tuple[str, ...] = ()
    table: Table = ()
    picture: str = ""  # "logo" or "chart"


SLIDES = (
    Slide(
        "Review of 2025",
        ("Kestrel Bay Instruments, all-hands meeting in Morrow Haven", "Ines Halvorsen, 12 January 2026"),
        picture="logo",
    ),
    Slide("Revenue grew in every quarter", picture="chart"),
    Slide(
        "Heron: a buoy that pays for itself",
        (
            "Launched in May 2025 by the team of Tomas Okafor",
            "Measures height, period and direction of waves for two years on one set of solar cells",
            "Norrland Ferry Lines bought the first four; their ferries now burn 6 percent less fuel",
        ),
    ),
    Slide(
        "What Eastmere taught us",
        table=(
            ("Finding", "What we changed"),
            ("Salt water in the cable gland", "Revision C with a potted gland"),
            ("The customer saw the drift before we did", "Alarm at 3 millimetres between neighbours"),
            ("Nobody could stop deliveries at a weekend", "Priya Raman's team is on call"),
        ),
    ),
    Slide(
        "Plans for 2026",
        (
            "Service station in Port Alder, next door to Brightwater Sensors, opens in April",
            "The Plover tide gauge costs less than 900 euros and is meant for marinas",
            "Fifteen new colleagues, five of them in support",
        ),
    ),
)
