#include "checks/language.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>

#include "checks/plain_text.h"
#include "text/utf8.h"

namespace carat {

namespace {

enum Script {
  kLatin,
  kCyrillic,
  kArabic,
  kDevanagari,
  kHebrew,
  kGreek,
  kBengali,
  kGurmukhi,
  kGujarati,
  kTamil,
  kTelugu,
  kKannada,
  kMalayalam,
  kThai,
  kHangul,
  kKana,
  kHan,
  kScripts
};

struct Range {
  uint32_t first, last;
  Script script;
};
constexpr Range kRanges[] = {
    {0x41, 0x5a, kLatin},      {0x61, 0x7a, kLatin},        {0xc0, 0x24f, kLatin},
    {0x1e00, 0x1eff, kLatin},  {0x370, 0x3ff, kGreek},      {0x400, 0x52f, kCyrillic},
    {0x590, 0x5ff, kHebrew},   {0x600, 0x6ff, kArabic},     {0x750, 0x77f, kArabic},
    {0xfb50, 0xfdff, kArabic}, {0x900, 0x97f, kDevanagari}, {0x980, 0x9ff, kBengali},
    {0xa00, 0xa7f, kGurmukhi}, {0xa80, 0xaff, kGujarati},   {0xb80, 0xbff, kTamil},
    {0xc00, 0xc7f, kTelugu},   {0xc80, 0xcff, kKannada},    {0xd00, 0xd7f, kMalayalam},
    {0xe00, 0xe7f, kThai},     {0x1100, 0x11ff, kHangul},   {0xac00, 0xd7af, kHangul},
    {0x3040, 0x30ff, kKana},   {0x3400, 0x4dbf, kHan},      {0x4e00, 0x9fff, kHan}};

struct Language {
  std::string_view code;
  Script script;
  std::string_view letters;  ///< small ones that its neighbours lack; a word with one of them counts
  std::string_view words;    ///< frequent ones, between spaces; ones that neighbours share cancel out
};
constexpr Language kLanguages[] = {
    {"en", kLatin, "",
     " the and of to a in is that it for was with as you your be are this have on not we they at by an from "
     "can or will "
     "my i but what all if so he she his her their our there when who how do does more about which than "
     "would "},
    {"es", kLatin, "ñ",
     " el la los las de que y en un una es por con para del se no lo al como más pero sus su este esta está "
     "son muy ha "
     "también cuando donde yo mi tu nos le les ser hay todo desde sobre entre "},
    {"pt", kLatin, "ãõ",
     " o os as de que e em um uma é por com para do da dos das se não na no nos ao mais como mas seu sua são "
     "muito você "
     "também foi está isso ele ela eu meu ser tem à pelo pela até quando sobre "},
    {"fr", kLatin, "œêîç",
     " le la les de des du et en un une est que qui pour dans par sur pas au aux avec ce cette ne se il elle "
     "je vous nous "
     "son sa ses plus mais ou sont être leur leurs comme votre tout l d à été "},
    {"de", kLatin, "ß",
     " der die das und ist nicht ein eine einen einem den dem des zu mit sich auf für von im in es ich sie "
     "wir ihr sein "
     "ihre auch als an werden wird sind oder aber wie bei nach aus kann durch wenn noch über "},
    {"it", kLatin, "",
     " il lo la i gli le di che e è un una per con del della dei delle non si in al alla da sono come più ma "
     "anche questo "
     "questa nel nella ha mi ti ci suo sua loro essere molto io ai dal quando se "},
    {"nl", kLatin, "",
     " de het een en van ik te dat die in is niet op aan met voor er zijn je was als maar om dan ook wij zij "
     "hij naar bij "
     "uit kan worden wordt heeft hebben deze onze door over nog wel geen "},
    {"sv", kLatin, "å",
     " och det att i en är som på för med av den inte ett om han de till har jag vi men du var så kan från "
     "när också hon "
     "skulle sin alla ska "},
    {"da", kLatin, "æø",
     " og i det at en den til er som på de med han af for ikke der var et sig men har jeg vi du kan fra når "
     "også hun skal "
     "være blev meget "},
    {"pl", kLatin, "łżźćśńąę",
     " i w na z nie się że to jest do jak o co ale po tak za od przez dla są być by może oraz które który "
     "która tego go "
     "jego tym czy ich już tylko ma mi ja "},
    {"fi", kLatin, "",
     " ja on ei se että oli hän mutta ovat kun niin myös kuin joka tai sen voi ole ne tämä jos siitä minä "
     "sinä he me olla "
     "vain mitä sekä jotka hänen kaikki nyt sitä olen "},
    {"vi", kLatin, "ơưđạảấầẩẫậắằặẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỷỹ",
     " và của là có không được cho một những các trong người với đã này để khi từ đến tôi bạn về như cũng "
     "thì nhiều ở ra "
     "sẽ làm nếu hay hoặc chúng "},
    {"sw", kLatin, "",
     " na ya wa kwa ni katika za la hii kuwa cha yake watu si au vya kama pia ili hiyo lakini mimi wewe sisi "
     "yao yangu "
     "yako kutoka baada sana kila wengi huu "},
    {"ro", kLatin, "ășț",
     " și de la în a cu pe nu este o un să că mai pentru din care sunt fi au ce se al ale lui dar sau prin "
     "acest această "
     "fost fie când "},
    {"tr", kLatin, "ğış",
     " ve bir bu için de da ile olarak çok daha olan gibi ne en ben sen o biz var değil kadar sonra ama her "
     "mi ya veya "
     "olduğu "},
    {"id", kLatin, "",
     " dan yang di untuk dengan ini itu dari tidak dalam pada adalah akan ke saya anda kami mereka atau juga "
     "bisa dapat "
     "oleh karena ada telah sebagai lebih "},
    {"tl", kLatin, "",
     " ang ng sa na mga ay at ko mo siya ito hindi para kung may mula niya kanyang ako namin isang "},
    {"ru", kCyrillic, "ыэё",
     " и в не на что я с он как это по но из у за от так же для то все мы вы они она его её был была было "
     "быть или если "
     "может при ы эта этот ещё уже чтобы "},
    {"uk", kCyrillic, "іїєґ",
     " і в не на що я з він як це по але із у за від так же для то всі ми ви вони вона його її був була було "
     "бути або "
     "якщо може при ця цей ще вже щоб та є які який "},
    {"bg", kCyrillic, "ъ",
     " и в не на че аз с той като това много може което която нещо без по но от за така да се са е ние вие "
     "те тя му ѝ беше бъде или ако може "
     "при тази "
     "този още вече как който които си ще до "},
    {"mk", kCyrillic, "ѓќѕ",
     " и во не на дека јас со тој како ова по но од за да се е ние вие тие таа ќе или ако може што кој "},
    {"sr", kCyrillic, "ћђ",
     " и у не на да ја са он као ово по али од за се је ми ви они она ће или ако може што који су "},
    {"ar", kArabic, "ةىيكأإ",
     " في من على إلى أن هذا هذه التي الذي لا ما كان مع عن أو هو هي و كل بعد قد لم ذلك بين كما عند إذا ثم "
     "حتى "},
    {"fa", kArabic, "پچژ",
     " و در به از که این را با است برای آن یک خود تا می بر هم ما شما من او شد کرد های باید اگر یا نیز بود "
     "کند "},
    {"ur", kArabic, "ٹڈڑںےہھ",
     " کے میں کی ہے اور سے کا کو پر نے یہ ہیں کہ اس ایک ہو کر وہ بھی تھا لیے جو نہیں تو آپ ہم گیا یا ان "
     "اپنے "},
    {"hi", kDevanagari, "",
     " के में की है और से का को हैं पर यह ने एक कि लिए भी नहीं हो था इस तो कर वह जो साथ या अपने आप हम अगर "},
    {"mr", kDevanagari, "ळ",
     " आहे आणि या मध्ये ते हे एक च्या आहेत होते तर ही की तो करण्यासाठी असे त्यांच्या नाही मी पण किंवा आपण आपल्या साठी होता "
     "केला त्या "},
    {"ne", kDevanagari, "",
     " र छ को मा लागि यो पनि छन् हो एक गर्न भने ले हुन्छ तपाईं हामी गर्ने थियो भएको गरेको त्यो सँग वा तर म अनि गर्नुहोस् "}};

/// Scripts that one language at hand uses.
constexpr std::pair<Script, std::string_view> kAlone[] = {
    {kHebrew, "he"},    {kGreek, "el"}, {kBengali, "bn"}, {kGurmukhi, "pa"},
    {kGujarati, "gu"},  {kTamil, "ta"}, {kTelugu, "te"},  {kKannada, "kn"},
    {kMalayalam, "ml"}, {kThai, "th"},  {kHangul, "ko"}};

std::optional<Script> script_of(uint32_t c) {
  for (const Range& r : kRanges) {
    if (c >= r.first && c <= r.last && c != 0xd7 && c != 0xf7) return r.script;
  }
  return std::nullopt;
}

/// Lower-case words of letters and marks; everything else separates.
std::vector<std::string> letter_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (size_t at = 0; at <= text.size();) {
    const size_t n = at < text.size() ? std::max<size_t>(1, utf8_length(text, at)) : 1;
    const uint32_t c = at < text.size() ? utf8_code_point(text, at, n) : ' ';
    if (script_of(c) || (c >= 0x300 && c < 0x370)) {
      word += text.substr(at, n);
    } else if (!word.empty()) {
      words.push_back(lower_case(word));
      word.clear();
    }
    at += n;
  }
  return words;
}

bool has_letter_of(std::string_view word, std::string_view letters) {
  for (size_t at = 0; at < word.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(word, at));
    if (letters.find(word.substr(at, n)) != std::string_view::npos) return true;
    at += n;
  }
  return false;
}

/// The language of a script whose words occur most: at least three, a share of all words, and clearly more
/// than of the next one.
std::optional<std::string> by_words(Script script, std::string_view text) {
  const std::vector<std::string> words = letter_words(text);
  std::vector<std::pair<size_t, std::string_view>> hits;
  for (const Language& l : kLanguages) {
    if (l.script != script) continue;
    size_t count = 0;
    std::string spaced;
    for (const std::string& w : words) {
      spaced = " " + w + " ";
      count += l.words.find(spaced) != std::string_view::npos;
      count += has_letter_of(w, l.letters);
    }
    hits.emplace_back(count, l.code);
  }
  std::sort(hits.rbegin(), hits.rend());
  const size_t best = hits[0].first, next = hits.size() > 1 ? hits[1].first : 0;
  if (best < 3 || best * 12 < words.size() || best * 4 < next * 5 + 4) return std::nullopt;
  return std::string(hits[0].second);
}

}  // namespace

std::vector<std::string_view> known_languages() {
  std::vector<std::string_view> codes = {"ja", "zh"};
  for (const Language& l : kLanguages) codes.push_back(l.code);
  for (const auto& [script, code] : kAlone) codes.push_back(code);
  return codes;
}

std::optional<std::string> detect_language(std::string_view text) {
  std::array<size_t, kScripts> letters{};
  size_t all = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t n = std::max<size_t>(1, utf8_length(text, at));
    if (const auto script = script_of(utf8_code_point(text, at, n))) ++letters[*script], ++all;
    at += n;
  }
  // Japanese mixes two scripts, and its Han is Chinese where there is no Kana.
  const size_t east = letters[kKana] + letters[kHan];
  if (east * 2 > all) return letters[kKana] * 10 > east ? "ja" : "zh";
  const auto most = static_cast<Script>(std::max_element(letters.begin(), letters.end()) - letters.begin());
  if (letters[most] * 2 <= all || letters[most] < 3) return std::nullopt;
  for (const auto& [script, code] : kAlone) {
    if (script == most) return std::string(code);
  }
  return by_words(most, text);
}

}  // namespace carat
