"""Word pools of the generator.  words are common English; names and places are what small talk uses."""

WORDS = """able about above acid across actor after again agent air alarm album alone amber among angle animal answer ant apple april arm army art ask
aunt autumn away baby back badge bag bake ball band bank bar barn base basket bath beach bean bear beat bed bee bell bench berry best big bike bird bite black blade
blanket block blue board boat body bold bone book boot bottle bowl box boy brain branch brave bread break brick bridge bright bring broom brother brown brush bucket
build bulb bus bush busy butter button buy cabin cable cage cake call calm camel camera camp can candle candy cap car card carpet carrot cart castle cat catch cave
chain chair chalk cheese cherry chess chicken child chin circle city class clay clean clear clever climb clock cloth cloud clown club coach coal coast coat code coffee
coin cold color comb cook cool copper corn cotton count cousin cow crab craft crane cream cross crow crown cup curtain curve cycle dance dark data day deep deer desk
dinner dish doctor dog doll door double dove down dragon draw dream dress drink drive drop drum dry duck dust eagle early earth east easy eat edge egg eight elbow empty
engine enter equal even event every eye face fact fair fall family far farm fast father feather fence field fig fight film find fine finger fire first fish five flag
flame flat floor flour flower fly fog fold food foot forest fork four fox frame free fresh friend frog front fruit full game garage garden gas gate ghost giant gift
girl give glad glass glove goat gold good goose grain grape grass gray green group guest guitar hair half hall hammer hand happy hard harbor hat hawk head heart heavy
hello help hen hill hole home honey hook horse hotel hour house human hunt ice idea inch ink iron island jacket jam jar job join joke juice jump jungle keep key kind king
kitchen kite knee knife knot lady lake lamp land large last laugh law leaf learn leather left leg lemon letter light line lion lip list little live lock log long look
loop lot loud love low luck lunch machine magic mail make man many map march mark market mask match meal meat melon memory metal milk mind mint mirror model money monkey
month moon morning most mother mountain mouse mouth move movie mud music nail name narrow near neck needle nest net never new news next nice night nine noise noon north
nose note number nurse nut oak ocean office oil old olive one onion open orange order oven over owl owner page paint pair palm pan paper parent park part party path peace
peach pear pen pencil people pepper phone piano pick picture pie pig pilot pin pine pink pipe place plan planet plant plate play plum pocket poem point pond pool potato
power press price prince print prize proud puppet purple purse puzzle queen quick quiet rabbit race radio rain raven read ready red rest rice rich ride right ring river
road robot rock roof room root rope rose round row rubber ruler run sad safe sail salad salt sand school sea seat second seed sell seven shadow sharp sheep sheet shell
ship shirt shoe shop short shoulder silver simple sing sister six skin sky sleep slow small smile smoke snake snow soap sock sofa soft son song soup south space spider
spoon sport spring square stair star start station steam steel stick stone stop storm story stove straw street string strong student sugar suit summer sun sweet swim
table tail tall tea teacher team tent test thin three thumb ticket tiger time tiny toe tomato tool tooth top tower town toy train tree truck true trumpet tunnel turn
turtle twelve two uncle under up valley van vase velvet violin voice wagon walk wall warm wash watch water wave way weather week well west wet whale wheat wheel white
wide wild wind window winter wise wolf wood wool word work world worm write yard year yellow young zebra zero""".split()

NAMES = """Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Maria Nina Oscar Paul Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Adam Bella Carl Diana Eric
Fiona George Hanna Ivan Julia Karl Laura Max Nora Otto Peter Ruth Simon Tom Vera Walter Alice Bob Carol Dan Eva Frank Gina Hugo Irene James Karen Lucas Mia Noah Olga
Pablo Rita Sara Theo Ursula Viktor Amir Aisha Chen Dmitri Elena Fatima Goran Hiro Ines Jamal Kofi Lena Mateo Nadia Omar Priya Ravi Sofia Tariq Yuki Zara Liam Olivia
Ethan Ava Mason Chloe Logan Ella Aaron Betty Cedric Dora Edgar Freya Gustav Helga Isaac Jonas Kira Linda Martin Naomi Oliver Petra Robert Stella Thomas Vincent William
Albert Bruno Cora Denis Elsa Fritz Greta Holger Iris Jens Katja Lars Mona Nils Olaf Pia Rolf Silke Timo Ute Wanda Boris Carmen Diego Emil Flora Gloria Hector Igor
Jasmin Kevin Lilly Marco Nelly Oskar Paula Ralph Sandra Tamara Vera Yvonne Andy Brian Cathy Derek Erin Gavin Heidi Jenny Kyle Lisa Mark Nick Pamela Rachel Steve Tracy""".split()

CITIES = """Paris London Berlin Rome Madrid Vienna Prague Oslo Lisbon Dublin Athens Warsaw Zurich Geneva Munich Hamburg Milan Naples Turin Porto Lyon Nice Cairo Lagos Nairobi
Tokyo Osaka Kyoto Seoul Beijing Delhi Mumbai Sydney Boston Chicago Dallas Denver Seattle Toronto Montreal Lima Bogota Havana Quito Helsinki Stockholm Brussels Budapest
Moscow Kiev Riga Vilnius Tallinn Sofia Bucharest Belgrade Zagreb Krakow Bergen Malmo Leeds Bristol Oxford Bremen Cologne Dresden Leipzig Basel Bern Graz Linz Bologna
Verona Venice Palermo Seville Valencia Granada Malaga Bilbao Houston Phoenix Austin Miami Atlanta Portland Ottawa Quebec Perth Hanoi Bangkok Manila Jakarta Dhaka Tunis
Rabat Accra Dakar Tehran Baghdad Dubai Doha Ankara Istanbul Izmir Tampa Memphis Orlando Detroit Calgary Winnipeg Halifax Santiago Montevideo Caracas Panama Singapore""".split()

COUNTRIES = """France Germany Italy Spain Portugal Austria Norway Sweden Finland Denmark Poland Greece Ireland Japan China India Brazil Peru Chile Canada Mexico Egypt Kenya
Ghana Turkey Iran Iraq Vietnam Korea Cuba Iceland Hungary Romania Croatia Serbia Belgium Switzerland Australia Argentina Colombia Morocco Nigeria Tunisia""".split()

JOBS = """teacher doctor nurse baker farmer pilot lawyer cook driver painter writer plumber engineer singer actor dentist carpenter gardener waiter tailor student judge
sailor soldier chemist barber butcher mechanic librarian journalist architect programmer electrician photographer""".split()

COLORS = "red blue green yellow black white pink purple orange brown gray silver gold violet turquoise beige crimson".split()
ANIMALS = "dog cat horse rabbit parrot hamster goldfish turtle pony snake canary mouse duck goat".split()
FOODS = "pizza pasta rice soup bread cheese salad sushi curry cake chocolate apples cherries noodles pancakes tomatoes".split()
PETS = "Rex Bello Luna Milo Coco Rocky Bruno Daisy Simba Felix Nala Tiger Charlie Lucky Snowy Bubbles Whiskers Shadow Pepper Ginger Oreo Max Molly Toby Ruby Jasper Biscuit Fluffy".split()
GOODS = """lamp chair table bottle book pen cup plate shirt shoe hat coat bag phone radio camera clock knife fork spoon bowl towel pillow blanket candle basket mirror
carpet guitar drum ball bike tent helmet laptop keyboard monitor printer cable""".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
FAMOUS = """Napoleon Einstein Shakespeare Mozart Beethoven Caesar Cleopatra Newton Darwin Picasso Columbus Lincoln Gandhi Plato Aristotle Galileo Bach Goethe Homer Socrates
Churchill Rembrandt Edison Tesla Curie Kepler Kant Dante Elvis Madonna Socrates Chopin Vivaldi Monet""".split()
TOPICS = """football tennis chess cooking gardening history biology chemistry physics geography politics astronomy religion philosophy music cinema fashion painting
dinosaurs volcanoes whales elephants bees spiders mushrooms cars trains airplanes ships castles pyramids love money war peace health sleep exercise yoga vitamins
the moon the sun the stars Mars black holes gravity electricity magnetism photosynthesis evolution democracy inflation taxes insurance marriage happiness dreams
poetry novels jazz opera ballet photography sculpture medicine cancer diabetes coffee tea wine beer chocolate cheese the ocean rivers mountains deserts weather rain
snow earthquakes hurricanes Kubernetes Docker Java Rust JavaScript HTML CSS Linux Windows blockchain bitcoin robots quantum computers the stock market climate change
solar energy nuclear power batteries the internet television newspapers baseball cricket golf skiing swimming running the Olympics the Roman Empire the Middle Ages""".split("\n")
TOPICS = [t for line in TOPICS for t in line.replace("the ", "the_").replace("black holes", "black_holes").replace("quantum computers", "quantum_computers")
          .replace("stock market", "stock_market").replace("climate change", "climate_change").replace("solar energy", "solar_energy").replace("nuclear power", "nuclear_power")
          .replace("Roman Empire", "Roman_Empire").replace("Middle Ages", "Middle_Ages").split()]
TOPICS = [t.replace("_", " ") for t in TOPICS]
DISHES = "lasagna pancakes goulash paella risotto a cake an omelette bread ramen tacos apple pie fish soup fried rice pizza dough".replace("a cake", "a_cake").replace("an omelette", "an_omelette") \
    .replace("apple pie", "apple_pie").replace("fish soup", "fish_soup").replace("fried rice", "fried_rice").replace("pizza dough", "pizza_dough").split()
DISHES = [d.replace("_", " ") for d in DISHES]
LANGUAGES = "French German Spanish Italian Latin Greek Polish Russian Chinese Japanese Turkish Dutch Swedish Arabic".split()
