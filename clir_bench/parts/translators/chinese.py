"""Whether a Chinese text is written in traditional or simplified characters: NLLB has a code for each."""

from __future__ import annotations

_PAIRS = """
個个 們们 這这 來来 時时 說说 為为 會会 國国 對对 發发 學学 過过 動动 種种 開开 關关 長长 問问 間间 頭头 見见 車车 東东 馬马 門门 電电 話话 語语 請请 讓让 謝谢 還还 進进 運运 連连
選选 達达 邊边 遠远 點点 熱热 無无 樂乐 業业 機机 術术 條条 樣样 構构 標标 権权 權权 歷历 歲岁 殺杀 氣气 決决 沒没 況况 濟济 灣湾 當当 畫画 異异 數数 應应 總总 專专 實实 寫写 將将 導导
爾尔 層层 屬属 島岛 師师 帶带 廣广 強强 後后 從从 復复 徵征 愛爱 慮虑 慶庆 懷怀 戰战 戲戏 擊击 據据 擴扩 斷断 書书 極极 楊杨 圖图 園园 團团 報报 場场 壓压 備备 傳传 價价 億亿 兒儿
內内 兩两 別别 劃划 劇剧 務务 勝胜 勞劳 區区 協协 參参 員员 單单 嚴严 養养 領领 題题 類类 顯显 風风 飛飞 飯饭 館馆 驗验 體体 魚鱼 鳥鸟 麗丽 黃黄 齊齐 龍龙 經经 統统 線线 結结 給给 綠绿
維维 網网 級级 紅红 組组 細细 終终 繼继 續续 義义 習习 聯联 聲声 職职 脈脉 臺台 與与 藝艺 蘇苏 處处 號号 製制 計计 記记 設设 許许 論论 證证 識识 議议 護护 變变 財财 買买 費费 貴贵 資资
賽赛 質质 軍军 較较 載载 輕轻 轉转 農农 遊游 適适 鄉乡 醫医 針针 錄录 錢钱 鐵铁 銀银 錯错 閱阅 陽阳 陸陆 際际 隊队 難难 雲云 響响 項项 順顺 須须 顧顾
"""
_TRADITIONAL = frozenset(pair[0] for pair in _PAIRS.split())
_SIMPLIFIED = frozenset(pair[1] for pair in _PAIRS.split()) - set("后里干面征台云制游") - _TRADITIONAL  # these are written in traditional texts, too


def is_traditional(text: str) -> bool:
    """Whether more characters occur that only traditional texts have than such of simplified texts; a text with neither is taken as simplified."""
    return sum(c in _TRADITIONAL for c in text) > sum(c in _SIMPLIFIED for c in text)
