/**
 * @file Everyday words that are film titles too ("It", "Up", "Signs", "Home"). One of them alone is a title only with
 * evidence: its year, quotes, or its capital in the middle of a sentence.
 */

const WORDS = `
a about after again alive alone always angel angels animal another any apartment army arrival artist away baby bad bang beach
beast beautiful beauty because before bell beloved best better beyond big birds birth black blade blood blow blue body bolt bones
born boss boy boys brave breath bride bridge bright broken brother brothers bug burn cab camp candy cargo cars casino cat catch
caught cell chance change charade charge chef child children choice city class clean click close closer clue cold come contact control
cool country courage crash crazy creed creep cube cut dad dance danger dark date dave dawn day days dead dear death deep desire
detective devil diner dinner dogs doll don door doubt down dragon dread dream dreams drive drop duck dust eagle earth east easy
election elf empire end enemy enough epic escape eve even ever everything everywhere evil evolution exam extract eye eyes face faces
faith fall fame family fan far fast faster fate father fear feast fever few fight fire first fish flight fly focus food foot
forest forever fox fracture frank free freedom friday friend friends from frozen full fun funny fury game games ghost ghosts giant
gift girl girls glass glory go goal god gold gone good grace gravity great green ground grow guest guide gun hair half hamlet hand
happiness happy hard hate haunted hear heart heat heaven help her here hero hers high him his hit hold hole holes holiday home
honey hope host hot hotel hour house how human hunger hunt hunter husband i ice identity if illusion in innocence inside intern
into invisible island it its jack jaws job joe joker journey joy judge jump junior just justice keep kid kids kill killer kind king
kings kiss knight knock know lady land last late law leap learn leave legend lies life light like limit limitless line lion listen
little live logic long look loser loss lost love lover lucky lucy luck mad magic man march mask master match matter maybe me mean
memory men mercy milk mine miracle mirror misery miss mist mom moment monday money monster monsters moon morning mother mountain move
much mud murder music my mystery name nature need neighbors network never new news next nice night nightmare nine no noah noise north
notes nothing notorious now nuts obsessed ocean off office oh old on once one only open opposite orphan other others our out outbreak
outside over owl pain panic paper paradise paranoia parents party passengers passion past patience path patriot paul payback peace
people perfect phone pi piano pig pilot pirates place plane platoon play player please power pray premium pride priest prince princess
prison prisoners private problem prom promise psycho pulse punch pure push quarantine queen quest quiet rain ran ransom rat ray ready real
rebel red redemption rent repo respect rest results return revenge rich ride riot rise river road robots rocky room roots rope round
run rush sabotage sad safe sahara salt same saved saw say school scoop scream sea search second secret secrets see self sell seven
sex shadow shame shelter shine ship shock shooter shot show sick signs silence silver simple single sister sisters skin sky sleep
sleepers slow small smile smoke snatch snow so soldier solo some someone something song soul sound source south space spectacular speed
spider spirit splash splice split spring spy stand star stars start stay steal step still stone stop storm story strange stranger
street strength strike strong sugar suits summer sun sunday sunset sunshine super surf sweet swim table take taken talk tap taxi teacher
team ted teen tell ten terminal that the them then there they thief thing things think thirteen this three thrill ticket tiger time
timeline today together tomorrow tonight top touch town toys traffic train training transit trap trash travel trial trick trip trouble
troy truck true trust truth try twilight twins twisted two unbreakable under underwater unforgiven unknown untouchable up us vacation
valentine vanish very victory view violet vice visit voice volcano wait walk wall wanted war warm warning warrior water wave way we
wedding weekend welcome west what when where while whiplash white who whole why wife wild will win window wings winner winter wish
witch witness woman women wonder wonderful word work world wrong x yes yesterday you young your youth zero zodiac zoo
`;

/** Lower-case everyday words. */
export const COMMON_WORDS: ReadonlySet<string> = new Set(WORDS.trim().split(/\s+/));
