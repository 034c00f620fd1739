"""The listings: real symbols, NSE exchange tokens (instrument token = that * 256 + segment), plausible prices."""

from __future__ import annotations

from typing import NamedTuple


class Stock(NamedTuple):
    """A cash listing: `lot` is that of its futures and options, 0 when it has none."""

    symbol: str
    exchange_token: int
    name: str
    price: float
    lot: int


class Index(NamedTuple):
    """`strike_step` and `lot` are 0 when it has no derivatives; `root` is their name."""

    symbol: str
    token: int
    exchange: str
    price: float
    root: str
    lot: int
    strike_step: float


INDICES = (
    Index("NIFTY 50", 256265, "NSE", 26050.0, "NIFTY", 65, 50.0),
    Index("NIFTY BANK", 260105, "NSE", 58900.0, "BANKNIFTY", 30, 100.0),
    Index("NIFTY FIN SERVICE", 257801, "NSE", 27400.0, "FINNIFTY", 60, 50.0),
    Index("SENSEX", 265, "BSE", 85200.0, "SENSEX", 20, 100.0),
    Index("NIFTY IT", 259849, "NSE", 36800.0, "", 0, 0.0),
    Index("NIFTY NEXT 50", 270857, "NSE", 69500.0, "", 0, 0.0),
    Index("INDIA VIX", 264969, "NSE", 13.5, "", 0, 0.0),
)

STOCKS_WITH_DERIVATIVES = (
    Stock("INFY", 1594, "INFOSYS", 1540.0, 400),
    Stock("RELIANCE", 2885, "RELIANCE INDUSTRIES", 1520.0, 500),
    Stock("ADANIPORTS", 15083, "ADANI PORT & SEZ", 1480.0, 475),
    Stock("APOLLOHOSP", 157, "APOLLO HOSPITALS ENTER. L", 7400.0, 125),
    Stock("ASIANPAINT", 236, "ASIAN PAINTS", 2880.0, 250),
    Stock("AXISBANK", 5900, "AXIS BANK", 1270.0, 625),
    Stock("BAJAJ-AUTO", 16669, "BAJAJ AUTO", 9050.0, 75),
    Stock("BAJFINANCE", 317, "BAJAJ FINANCE", 1015.0, 750),
    Stock("BAJAJFINSV", 16675, "BAJAJ FINSERV", 2080.0, 250),
    Stock("BEL", 383, "BHARAT ELECTRONICS", 418.0, 1425),
    Stock("BHARTIARTL", 10604, "BHARTI AIRTEL", 2140.0, 475),
    Stock("CIPLA", 694, "CIPLA", 1530.0, 375),
    Stock("COALINDIA", 20374, "COAL INDIA", 380.0, 1350),
    Stock("DRREDDY", 881, "DR. REDDY'S LABORATORIES", 1245.0, 625),
    Stock("EICHERMOT", 910, "EICHER MOTORS", 7100.0, 100),
    Stock("GRASIM", 1232, "GRASIM INDUSTRIES", 2730.0, 250),
    Stock("HCLTECH", 7229, "HCL TECHNOLOGIES", 1610.0, 350),
    Stock("HDFCBANK", 1333, "HDFC BANK", 1000.0, 550),
    Stock("HDFCLIFE", 467, "HDFC LIFE INS CO", 765.0, 1100),
    Stock("HEROMOTOCO", 1348, "HERO MOTOCORP", 6000.0, 150),
    Stock("HINDALCO", 1363, "HINDALCO INDUSTRIES", 800.0, 700),
    Stock("HINDUNILVR", 1394, "HINDUSTAN UNILEVER", 2420.0, 300),
    Stock("ICICIBANK", 4963, "ICICI BANK", 1370.0, 700),
    Stock("INDUSINDBK", 5258, "INDUSIND BANK", 840.0, 700),
    Stock("ITC", 1660, "ITC", 405.0, 1600),
    Stock("JSWSTEEL", 11723, "JSW STEEL", 1160.0, 675),
    Stock("KOTAKBANK", 1922, "KOTAK MAHINDRA BANK", 2090.0, 400),
    Stock("LT", 11483, "LARSEN & TOUBRO", 4010.0, 175),
    Stock("M&M", 2031, "MAHINDRA & MAHINDRA", 3720.0, 200),
    Stock("MARUTI", 10999, "MARUTI SUZUKI INDIA", 15900.0, 50),
    Stock("NESTLEIND", 17963, "NESTLE INDIA", 1270.0, 500),
    Stock("NTPC", 11630, "NTPC", 328.0, 1500),
    Stock("ONGC", 2475, "OIL AND NATURAL GAS CORP.", 248.0, 2250),
    Stock("POWERGRID", 14977, "POWER GRID CORP. OF INDIA", 276.0, 1900),
    Stock("SBILIFE", 21808, "SBI LIFE INSURANCE CO", 2010.0, 375),
    Stock("SBIN", 3045, "STATE BANK OF INDIA", 975.0, 750),
    Stock("SHRIRAMFIN", 4306, "SHRIRAM FINANCE", 825.0, 825),
    Stock("SUNPHARMA", 3351, "SUN PHARMACEUTICAL IND L", 1770.0, 350),
    Stock("TATACONSUM", 3432, "TATA CONSUMER PRODUCT", 1160.0, 550),
    Stock("TATASTEEL", 3499, "TATA STEEL", 172.0, 5500),
    Stock("TCS", 11536, "TATA CONSULTANCY SERV LT", 3120.0, 175),
    Stock("TECHM", 13538, "TECH MAHINDRA", 1450.0, 600),
    Stock("TITAN", 3506, "TITAN COMPANY", 3890.0, 175),
    Stock("TRENT", 1964, "TRENT", 4400.0, 100),
    Stock("ULTRACEMCO", 11532, "ULTRATECH CEMENT", 11750.0, 50),
    Stock("WIPRO", 3787, "WIPRO", 245.0, 3000),
    Stock("ADANIENT", 25, "ADANI ENTERPRISES", 2420.0, 300),
    Stock("JIOFIN", 18143, "JIO FIN SERVICES", 308.0, 2350),
)

STOCKS_WITHOUT_DERIVATIVES = (
    Stock("TRIVENI", 13081, "TRIVENI ENGG. & INDS.", 372.0, 0),
    Stock("CENTRALBK", 14894, "CENTRAL BANK OF INDIA", 38.5, 0),
    Stock("RITES", 3761, "RITES", 243.0, 0),
    Stock("JKPAPER", 11860, "JK PAPER", 385.0, 0),
    Stock("ROUTE", 26003, "ROUTE MOBILE", 730.0, 0),
    Stock("VSTIND", 3724, "VST INDUSTRIES", 255.0, 0),
    Stock("BASF", 368, "BASF INDIA", 4150.0, 0),
    Stock("GILLETTE", 1576, "GILLETTE INDIA", 8500.0, 0),
)

CURRENCIES = (("USDINR", 88.4), ("EURINR", 102.3), ("GBPINR", 116.1), ("JPYINR", 57.2))
COMMODITIES = (
    ("CRUDEOIL", 5280.0, 1.0, 100),
    ("GOLD", 122800.0, 1.0, 100),
    ("SILVER", 155200.0, 1.0, 30),
    ("NATURALGAS", 388.0, 0.1, 1250),
    ("COPPER", 1005.0, 0.05, 2500),
)
